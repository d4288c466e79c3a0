import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from domains.watcher import Watcher, following, listing, watching
from hosts import guards, trust
from hosts.agent import stream as gate
from tests.hosts.daemons import PlayedDaemon

from .waiting import Play


@pytest.fixture(autouse=True)
def server(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, redis_server: Redis) -> None:
    """A server of its own, with the loopback in an enabled range and no watcher yet."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip.startswith("127.")])
    redis_server.delete("virshmanager:watchers", *redis_server.keys("virshmanager:watch:*"))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, seconds in (
        (watching, "ROSTER_SECONDS", 0.05),
        (watching, "ALIVE_EVERY", 0.2),
        (watching, "STATS_EVERY", 0.1),
        (following, "FIRST_PAUSE", 0.1),
        (listing, "LIST_PAUSE", 0.05),
        (following, "SPREAD_SECONDS", 0.1),
        (gate, "UPGRADE", 1.0),
        (gate, "CONNECT", 1.0),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def play(tmp_path: Path, server: None) -> Iterator[Play]:
    """Starts daemons that are played, and stops them when the test ends."""
    client = trust.server_identity()
    with ExitStack() as stack:
        yield lambda talk=None: stack.enter_context(PlayedDaemon(tmp_path, client, talk=talk))


@pytest.fixture
async def watcher() -> AsyncIterator[Watcher]:
    found = Watcher()
    task = asyncio.create_task(found.run())
    yield found
    task.cancel()
    await asyncio.wait([task])
