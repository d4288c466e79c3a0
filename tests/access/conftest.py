import pytest
from django.core.cache import cache
from redis import Redis


@pytest.fixture(autouse=True)
def nobody_has_guessed_yet(redis_server: Redis) -> None:
    """Failed logins are counted in the cache, which outlives a test."""
    cache.clear()
