from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import override_settings
from pytest_django import Settings
from redis import Redis


@pytest.fixture(autouse=True)
def with_redis(redis_server: Redis) -> None:
    """The server's routes are tested with everything there, but where a test takes it away."""


@pytest.fixture
def no_redis(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """Redis is gone: its socket leads nowhere, for the cache and for whoever asks it directly."""
    nowhere = f"unix://{tmp_path / 'nobody.sock'}"
    caches = {"default": settings.CACHES["default"] | {"LOCATION": nowhere}}
    with override_settings(CACHES=caches):
        yield
    cache.close()
