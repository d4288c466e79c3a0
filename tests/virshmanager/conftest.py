from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache
from django.test import override_settings

DeadRedis = Callable[[], None]


@pytest.fixture
def no_redis(settings, tmp_path) -> Iterator[None]:  # noqa: ANN001
    """Redis is gone: its socket leads nowhere, for the cache and for whoever asks it directly."""
    nowhere = f"unix://{tmp_path / 'nobody.sock'}"
    caches = {"default": settings.CACHES["default"] | {"LOCATION": nowhere}}
    with override_settings(CACHES=caches):
        yield
    cache.close()
