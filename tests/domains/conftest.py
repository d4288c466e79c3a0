"""A Redis without measurements, and a clock."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from domains.rings import PREFIX

from .measuring import Clock


@pytest.fixture
def rings_redis(redis_server: Redis) -> Iterator[Redis]:
    """A Redis that holds no measurements, before and after."""

    def empty() -> None:
        if keys := list(redis_server.scan_iter(f"{PREFIX}:*")):
            redis_server.delete(*keys)

    empty()
    yield redis_server
    empty()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The real time, at the beginning of an hour."""
    return Clock(monkeypatch, time.time() // 3600 * 3600)
