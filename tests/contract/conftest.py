import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from domains.watcher import Watcher, following, listing, watching
from hosts import guards, services, trust
from hosts.agent import hang_up
from hosts.identify import Identity, identify
from hosts.models import Host
from hosts.services import Meeting
from tests.domains.watcher.waiting import until

from .machines import Machine, Running


@pytest.fixture(autouse=True)
def server(
    db: None, redis_server: object, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A server of its own, with the loopback in an enabled range."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip.startswith("127.")])
    yield
    for host in Host.objects.all():
        hang_up(host)


@pytest.fixture
def join() -> dict[str, Any]:
    """The content of a join.json that is good for any host."""
    return services.create_join_key()[1]


@pytest.fixture
async def watcher(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watcher]:
    """One that runs, and looks often whom to follow."""
    monkeypatch.setattr(watching, "ROSTER_SECONDS", 0.05)
    monkeypatch.setattr(following, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(listing, "LIST_PAUSE", 0.05)
    found = Watcher()
    task = asyncio.create_task(found.run())
    yield found
    task.cancel()
    await asyncio.wait([task])


@asynccontextmanager
async def by_one_stream(watcher: Watcher, running: Running) -> AsyncIterator[None]:
    """What is done inside ends no stream: the watcher hears the host by the same one before and after."""

    async def alive() -> bool:
        return any(follower.alive for follower in watcher.followers.values())

    await until(alive)
    (follower,) = watcher.followers.values()
    stream = follower._stream
    yield
    seen = str(follower.position)
    running.daemon.outbox.publish("host.changed")

    async def heard() -> bool:
        return str(follower.position) != seen

    await until(heard)
    assert follower._stream is stream


@pytest.fixture
def machine(tmp_path: Path, join: dict[str, Any]) -> Machine:
    """A machine with a join key, not running yet."""
    found = Machine(tmp_path / "hv-01")
    found.give_join_key(join)
    return found


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    """Starts machines, and stops them when the test ends."""
    with ExitStack() as stack:
        yield lambda machine, *where: stack.enter_context(machine.run(*where))


def meet(running: Running) -> Meeting:
    """What a crawl does with an open port."""
    found = identify(running.ip, running.port, client=trust.server_identity())
    assert isinstance(found, Identity), found
    return services.meet(running.ip, running.port, found)
