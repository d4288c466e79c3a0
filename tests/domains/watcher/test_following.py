"""The watcher on played daemons: what it believes, what it does not, and that no host suffers by another."""

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django_redis import get_redis_connection
from websockets.asyncio.server import ServerConnection

from domains import services
from domains.models import Domain
from domains.watcher import HEARD_KEY, Watcher, asking, inbox, listing, watcher_beats
from hosts import live
from hosts.agent.stream import Stream
from hosts.choices import Trust
from hosts.models import Host
from tests.hosts.daemons import PlayedDaemon
from tests.hosts.factories import told_domain, told_host

from .waiting import Play, becomes, row_of, state_of, until

pytestmark = pytest.mark.django_db(transaction=True)


async def dropped(daemon: PlayedDaemon) -> str:
    """Wait until the host is shown with bad events; return the reason."""

    async def has() -> bool:
        return (await row_of(daemon)).problem == "bad_events"

    await until(has)
    return (await row_of(daemon)).reason


async def asked_to_list(daemon: PlayedDaemon, times: int) -> None:
    """Wait until the host was asked for its listing so often."""

    async def was() -> bool:
        return daemon.listings == times

    await until(was)


def event(**fields: Any) -> str:
    return json.dumps({"type": "domain.changed", "epoch": "e1", "seq": 1, **fields})


async def test_what_is_heard_is_counted(play: Play, watcher: Watcher) -> None:
    def told() -> int:
        return int(get_redis_connection().hget(HEARD_KEY, "domain") or 0)

    daemon = play()
    domain = daemon.add(state="shutoff")
    before = await asyncio.to_thread(told)
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "shutoff")
    daemon.change(domain["uuid"], state="running")

    async def has() -> bool:
        return await asyncio.to_thread(told) > before

    await until(has)


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        "null",
        b"\x00\x01",
        json.dumps({"type": ["hello"]}),
        event(seq=-1),
        event(seq="1"),
        event(seq=None),
        event(epoch="a:b"),
        event(epoch="x" * 65),
        event(uuid="web"),
        event(uuid=str(uuid4()), domain=told_domain()),
        event(uuid=str(uuid4()), domain={"uuid": 5}),
        event(type="operation.changed", operation=[]),
        event(type="operation.changed", operation={"result": {"domain": 5}}),
        event(type="hello", replayed=True),
        event(type="later", filler="x" * 300_000),
        json.dumps({"type": "domain.stats", "domains": 5}),
        event(type="listing", id="1"),
        "x" * (9 * 2**20),
    ],
)
async def test_nonsense_ends_the_stream_with_a_reason_and_harms_no_other_host(
    play: Play, watcher: Watcher, message: str | bytes
) -> None:
    liar, honest = play(), play()
    domain = honest.add(state="shutoff")
    victim = liar.add(state="shutoff")
    for daemon in (liar, honest):
        await database_sync_to_async(daemon.host)()
    await becomes(domain, "shutoff")
    await becomes(victim, "shutoff")
    liar.say(message)
    assert await dropped(liar)
    honest.change(domain["uuid"], state="running")
    await becomes(domain, "running")
    assert liar.streams == 1
    assert await state_of(victim) == "shutoff"


async def test_a_sequence_that_goes_backwards_ends_the_stream(play: Play, watcher: Watcher) -> None:
    daemon = play()
    domain = daemon.add(state="shutoff")
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "shutoff")
    for _ in range(3):
        daemon.tell("later")
    daemon.say(event(seq=2, uuid=domain["uuid"], domain=domain | {"state": "running"}))
    assert "sequence" in await dropped(daemon)
    assert await state_of(domain) == "shutoff"


async def test_hosts_that_hang_or_refuse_or_flood_hold_up_no_other(play: Play, watcher: Watcher) -> None:
    async def hang(stream: ServerConnection) -> None:
        await stream.wait_closed()

    async def flood(stream: ServerConnection) -> None:
        hello = {"type": "hello", "epoch": "e1", "seq": 0, "replayed": False}
        await stream.send(json.dumps(hello))
        row = told_domain()
        for seq in range(1, 10**9):
            await stream.send(event(seq=seq, uuid=row["uuid"], domain=row))
            await asyncio.sleep(0)

    healthy = play()
    domain = healthy.add(state="shutoff")
    for talk in (hang, flood, lambda stream: stream.close(1011)):
        await database_sync_to_async(play(talk).host)()
    await database_sync_to_async(healthy.host)()
    await becomes(domain, "shutoff")
    for state in ("running", "paused", "shutoff") * 3:
        begun = time.monotonic()
        healthy.change(domain["uuid"], state=state)
        await becomes(domain, state)
        assert time.monotonic() - begun < 3


async def test_a_retired_host_is_left_and_a_new_one_followed(play: Play, watcher: Watcher) -> None:
    daemon = play()
    domain = daemon.add(state="shutoff")
    host = await database_sync_to_async(daemon.host)(trust=Trust.RETIRED)
    await asyncio.sleep(0.2)
    assert daemon.streams == 0
    await Host.objects.filter(pk=host.pk).aupdate(trust=Trust.OWNED)
    await becomes(domain, "shutoff")
    await Host.objects.filter(pk=host.pk).aupdate(trust=Trust.RETIRED)

    async def left() -> bool:
        return not watcher.followers and not daemon.connected

    await until(left)


async def test_a_host_whose_range_is_switched_off_is_left(
    play: Play, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = play()
    domain = daemon.add()
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "running")
    monkeypatch.setattr("hosts.guards._guards", [])

    async def left() -> bool:
        return not daemon.connected

    await until(left)
    dialled = daemon.streams
    await asyncio.sleep(0.5)
    assert daemon.streams == dialled


async def test_a_host_that_moved_is_followed_where_it_is(play: Play, watcher: Watcher) -> None:
    daemon = play()
    domain = daemon.add(state="shutoff")
    host = await database_sync_to_async(daemon.host)()
    await Host.objects.filter(pk=host.pk).aupdate(port=1)
    await asyncio.sleep(0.3)
    await Host.objects.filter(pk=host.pk).aupdate(port=daemon.port)
    await becomes(domain, "shutoff")


async def test_a_short_silence_is_replayed_without_a_listing(play: Play, watcher: Watcher) -> None:
    daemon = play()
    domain = daemon.add(state="shutoff")
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "shutoff")
    daemon.change(domain["uuid"], state="running")
    await becomes(domain, "running")
    listings = daemon.listings
    daemon.hang_up()
    daemon.change(domain["uuid"], state="paused")
    await becomes(domain, "paused")
    assert daemon.listings == listings
    assert daemon.asked_after[0] == ""
    assert daemon.asked_after[-1].startswith("e1:")


async def test_a_new_epoch_a_gap_and_an_unknown_row_have_the_host_listed(
    play: Play, watcher: Watcher
) -> None:
    daemon = play()
    domain = daemon.add(state="shutoff")
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "shutoff")

    def change_unheard(state: str) -> None:
        daemon.domains[domain["uuid"]] |= {"state": state}

    change_unheard("running")
    daemon.new_epoch()
    await becomes(domain, "running")
    change_unheard("paused")
    daemon.seq += 1
    daemon.tell("later")
    await becomes(domain, "paused")
    change_unheard("crashed")
    daemon.tell("domain.changed", uuid=domain["uuid"], domain=None)
    await becomes(domain, "crashed")


async def test_events_during_a_listing_are_written_after_it(play: Play, watcher: Watcher) -> None:
    daemon = play()
    first, second = daemon.add(state="shutoff"), daemon.add(state="shutoff")
    daemon.hold_listings.clear()
    await database_sync_to_async(daemon.host)()

    await asked_to_list(daemon, 1)
    daemon.change(first["uuid"], state="running")
    daemon.remove(second["uuid"])
    daemon.hold_listings.set()
    await becomes(first, "running")
    await becomes(second, None)


@pytest.mark.parametrize(
    ("lies", "problem"),
    [
        ({"host": 5}, "bad_answer"),
        ({"host": told_host(str(uuid4()))}, "bad_answer"),
        ({"domains": [{"uuid": 5}]}, "bad_answer"),
        ({"domains": 5}, "bad_answer"),
        ({"problem": 5}, "bad_answer"),
        ({"problem": {"type": "<b>"}}, "bad_answer"),
        ({"problem": {"type": "hypervisor_busy", "title": "Busy"}}, "host_busy"),
        ({"problem": {"type": "libvirt_down", "title": "It is down"}}, "libvirt_down"),
    ],
)
async def test_a_listing_that_cannot_be_used_leaves_the_domains_and_says_why(
    play: Play, watcher: Watcher, lies: dict[str, Any], problem: str
) -> None:
    daemon = play()
    domain = daemon.add(state="shutoff")
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "shutoff")
    daemon.lies = lies
    daemon.new_epoch()

    async def is_shown() -> bool:
        return (await row_of(daemon)).problem == problem

    await until(is_shown)
    assert await state_of(domain) == "shutoff"
    assert daemon.streams == 1


async def test_more_events_than_are_kept_during_a_listing_are_written_without_it(
    play: Play, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_EVENTS", 5)
    daemon = play()
    domain = daemon.add(state="shutoff")
    daemon.hold_listings.clear()
    await database_sync_to_async(daemon.host)()

    await asked_to_list(daemon, 1)
    for state in ("running", "paused") * 5:
        daemon.change(domain["uuid"], state=state)
    await becomes(domain, "paused")


async def test_a_listing_that_was_given_up_is_not_taken_for_the_next_one(
    play: Play, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LIST_SECONDS", 0.3)
    monkeypatch.setattr(listing, "LIST_AGAIN", 0.1)
    daemon = play()
    domain = daemon.add(state="shutoff")
    daemon.hold_listings.clear()
    await database_sync_to_async(daemon.host)()

    await asked_to_list(daemon, 2)
    listed = json.dumps({"type": "listing", "id": 1, "host": told_host(daemon.id), "domains": []})
    daemon.domains[domain["uuid"]] |= {"state": "running"}
    daemon.say(listed)
    daemon.hold_listings.set()
    await becomes(domain, "running")
    assert daemon.streams == 1


async def test_a_domain_that_is_removed_leaves_no_row(play: Play, watcher: Watcher) -> None:
    daemon = play()
    domain = daemon.add()
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "running")
    daemon.change(domain["uuid"], state="shutoff")
    daemon.remove(domain["uuid"])
    await becomes(domain, None)


async def test_libvirt_that_goes_and_comes_is_shown(play: Play, watcher: Watcher) -> None:
    daemon = play()
    domain = daemon.add()
    await database_sync_to_async(daemon.host)()
    await becomes(domain, "running")
    daemon.tell("libvirt.down", detail="connection reset")

    async def down() -> bool:
        host = await row_of(daemon)
        return (host.problem, host.libvirt_alive) == ("libvirt_down", False)

    async def up() -> bool:
        host = await row_of(daemon)
        return (host.problem, host.libvirt_alive) == ("", True)

    await until(down)
    assert await state_of(domain) == "running"
    daemon.tell("libvirt.up")
    await until(up)


async def test_statistics_are_asked_for_and_kept(
    play: Play, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[int, object]] = []
    monkeypatch.setattr(services, "record_stats", lambda host, message: kept.append((host.pk, message["at"])))
    daemon = play()
    host = await database_sync_to_async(daemon.host)()

    async def asked() -> bool:
        return {"type": "stats", "seconds": 30} in daemon.heard

    async def stored() -> bool:
        return (host.pk, 7) in kept

    await until(asked)
    daemon.say(json.dumps({"type": "domain.stats", "at": 7, "domains": []}))
    await until(stored)


async def test_a_host_that_takes_no_question_keeps_no_other_from_being_asked(
    play: Play, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that has us answer its pings, and reads the answers at its leisure."""
    deaf, honest = play(), play()
    well = Stream.send
    blocked = asyncio.Event()

    async def send(stream: Stream, message: str | bytes) -> None:
        if stream._connection.remote_address[1] == deaf.port and "stats" in str(message):
            blocked.set()
            await asyncio.sleep(60)
        await well(stream, message)

    monkeypatch.setattr(Stream, "send", send)
    await database_sync_to_async(deaf.host)()
    await asyncio.wait_for(blocked.wait(), 15)
    await database_sync_to_async(honest.host)()

    async def asked() -> bool:
        return {"type": "stats", "seconds": 30} in honest.heard

    await until(asked)
    assert "it reads nothing" in await dropped(deaf)


async def test_a_followed_host_lives_and_one_that_went_does_not(play: Play, watcher: Watcher) -> None:
    daemon = play()
    await database_sync_to_async(daemon.host)(missed_probes=5)

    async def lives() -> bool:
        host = await row_of(daemon)
        return host.watched_at is not None and host.missed_probes == 0

    await until(lives)
    await database_sync_to_async(daemon.stop)()
    await asyncio.sleep(0.5)
    before = (await row_of(daemon)).watched_at
    await asyncio.sleep(0.5)
    assert (await row_of(daemon)).watched_at == before


async def test_a_host_that_missed_a_probe_while_its_stream_lived_is_listed_again(
    play: Play, watcher: Watcher
) -> None:
    daemon = play()
    domain = daemon.add(state="running")
    host = await database_sync_to_async(daemon.host)()
    await becomes(domain, "running")
    # The network was away for some seconds: the stream bore it, a probe did not.
    await Host.objects.filter(pk=host.pk).aupdate(missed_probes=1, problem="timed_out", reason="Too slow.")

    async def is_well() -> bool:
        row = await row_of(daemon)
        return (row.missed_probes, row.problem) == (0, "")

    await until(is_well)


async def test_it_works(play: Play, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[live.News] = []
    monkeypatch.setattr(live, "_send", told.extend)
    daemon = play()
    domain = daemon.add(state="shutoff")
    host = await database_sync_to_async(daemon.host)()
    await becomes(domain, "shutoff")
    pk = (await Domain.objects.aget(uuid=domain["uuid"])).pk
    told.clear()
    daemon.change(domain["uuid"], state="running")
    await becomes(domain, "running")
    changed = live.News("domain.changed", pk, ("fleet", f"host.{host.pk}", f"domain.{pk}"))

    async def heard() -> bool:
        return changed in told

    await until(heard)
    assert await database_sync_to_async(watcher_beats)()
