import pytest
from redis import Redis


@pytest.fixture(autouse=True)
def with_redis(redis_server: Redis) -> None:
    """The server's routes are tested with everything there, but where a test takes it away."""
