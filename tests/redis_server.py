"""A Redis for the tests: the one that REDIS_URL names, else a private one on a Unix socket."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django.fixtures import Settings
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as NotThere
from redis.retry import Retry


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A client of a running Redis. Tests that publish, lock or queue ask for it."""
    if "REDIS_URL" in os.environ:
        yield Redis.from_url(settings.REDIS_URL)
        return
    socket = Path(settings.VIRSHMANAGER_HOME) / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, cwd=socket.parent, stdout=subprocess.DEVNULL) as server:
        try:
            waiting = Retry(ConstantBackoff(0.05), 200, supported_errors=(NotThere,))
            with Redis(unix_socket_path=str(socket), retry=waiting) as client:
                client.ping()
                yield client
        finally:
            server.terminate()


@pytest.fixture
def no_redis(settings: Settings, tmp_path: Path) -> None:
    """Redis is gone, for the cache and for whoever asks it directly: its socket leads nowhere."""
    nowhere = f"unix://{tmp_path / 'nobody.sock'}"
    # Not by `override_settings`: what other fixtures set on top of it would bring it back when they end.
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": nowhere}}


@pytest.fixture
def rings_redis(redis_server: Redis) -> Iterator[Redis]:
    """A Redis that holds no measurements, before and after."""
    from domains.rings import PREFIX

    def forget() -> None:
        if keys := list(redis_server.scan_iter(f"{PREFIX}:*")):
            redis_server.delete(*keys)

    forget()
    yield redis_server
    forget()
