"""From libvirt's event, through a real daemon and a watcher, to the row and to the pages."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import libvirt
import pytest
from channels.db import database_sync_to_async

from domains.models import Domain
from domains.watcher import Watcher, following
from hosts import live
from hosts.agent.stream import open_events
from hosts.errors import AgentError
from hosts.models import Host
from tests.domains.watcher.waiting import until

from .conftest import meet
from .machines import Machine, Running

pytestmark = pytest.mark.django_db(transaction=True)
Run = Callable[..., Running]
Told = list[tuple[str, live.Id, str]]
OF_DOMAINS = {"domain.changed", "domains.changed"}
TEST_DOMAIN = UUID("6695eb01-f6a4-8304-79aa-97f2502e193f")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the pages are told of domains, and the state that its row has at that moment."""
    heard: Told = []
    send = live._send

    def note(news: Any) -> None:
        states = dict(Domain.objects.values_list("pk", "state"))
        heard.extend(
            (item.event, item.id, states.get(item.id, "")) for item in news if item.event in OF_DOMAINS
        )
        send(news)

    monkeypatch.setattr(live, "_send", note)
    return heard


@pytest.fixture
def outside() -> Iterator[libvirt.virDomain]:
    """The domain in the hands of somebody on the host itself; at the end it runs, as in the beginning."""
    connection = libvirt.open("test:///default")
    domain = connection.lookupByUUIDString(str(TEST_DOMAIN))
    yield domain
    if not domain.isActive():
        domain.create()
    connection.close()


@database_sync_to_async
def state() -> str | None:
    return Domain.objects.filter(uuid=TEST_DOMAIN).values_list("state", flat=True).first()


async def becomes(word: str) -> None:
    async def has() -> bool:
        return await state() == word

    await until(has)


async def followed(watcher: Watcher) -> None:
    async def alive() -> bool:
        return any(follower.alive for follower in watcher.followers.values())

    await until(alive)


async def listed_at() -> object:
    return (await Host.objects.aget()).listed_at


async def test_what_happened_while_the_stream_was_cut_is_replayed(
    run: Run, machine: Machine, watcher: Watcher, outside: libvirt.virDomain
) -> None:
    await database_sync_to_async(meet)(run(machine))
    await followed(watcher)
    listed = await listed_at()
    (follower,) = watcher.followers.values()
    follower.hang_up()
    outside.destroy()
    await becomes("shutoff")
    assert await listed_at() == listed


async def test_after_a_restart_of_the_daemon_the_host_is_listed(
    machine: Machine, watcher: Watcher, outside: libvirt.virDomain
) -> None:
    with machine.run() as running:
        await database_sync_to_async(meet)(running)
        await followed(watcher)
    outside.destroy()
    with machine.run(running.ip, running.port):
        await becomes("shutoff")


async def test_a_host_that_was_reset_is_not_followed(
    run: Run,
    machine: Machine,
    watcher: Watcher,
    outside: libvirt.virDomain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with machine.run() as running:
        await database_sync_to_async(meet)(running)
        await followed(watcher)
    machine.reset()
    run(machine, running.ip, running.port)
    refused: list[str] = []

    async def open_and_note(*arguments: Any, **more: Any) -> Any:
        try:
            return await open_events(*arguments, **more)
        except AgentError as error:
            refused.append(error.problem)
            raise

    async def thrice() -> bool:
        return len(refused) > 2

    monkeypatch.setattr(following, "open_events", open_and_note)
    outside.suspend()
    await until(thrice)
    known = await state()
    outside.resume()
    assert not any(follower.alive for follower in watcher.followers.values())
    assert known == "running"


async def test_what_somebody_does_on_the_host_is_a_row_and_told_once(
    run: Run, machine: Machine, watcher: Watcher, told: Told, outside: libvirt.virDomain
) -> None:
    await database_sync_to_async(meet)(run(machine))
    await followed(watcher)
    pk, listed = (await Domain.objects.aget()).pk, await listed_at()
    told.clear()
    expected: Told = []
    for act, word in ((outside.suspend, "paused"), (outside.resume, "running")) * 10:
        act()
        expected.append(("domain.changed", pk, word))

        async def heard() -> bool:
            return len(told) >= len(expected)

        await until(heard)
    assert told == expected
    assert await listed_at() == listed


async def test_a_domain_that_somebody_defines_appears_and_one_that_is_undefined_goes(
    run: Run, machine: Machine, watcher: Watcher, outside: libvirt.virDomain
) -> None:
    await database_sync_to_async(meet)(run(machine))
    await followed(watcher)
    xml = "<domain type='test'><name>new</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    new = outside.connect().defineXML(xml)
    rows = Domain.objects.filter(uuid=new.UUIDString())
    await until(rows.aexists)
    new.undefine()

    async def gone() -> bool:
        return not await rows.aexists()

    await until(gone)
