import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def nobody_has_guessed_yet() -> None:
    """Failed logins are counted in the cache, which outlives a test."""
    cache.clear()
