"""Several watchers on the same hosts: one follows each, whatever happens to it, to another and to Redis."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from redis import Redis
from redis.exceptions import ConnectionError as NotThere

from domains.models import Domain
from domains.watcher import Watcher, leases, writing
from domains.watcher.writing import Parcel
from hosts import services as hosts
from hosts.events import DomainEvent, OperationEvent
from hosts.models import Host, Operation
from tests.domains.factories import facts
from tests.hosts.factories import a_host
from tests.hosts.journals import asked_for

from .waiting import Play, becomes, until

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def started() -> AsyncIterator[Watcher]:
    watcher = Watcher()
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.wait([task])


@database_sync_to_async
def generation_of(host: Host) -> int:
    return Host.objects.get(pk=host.pk).watch_generation


def an_event(**fields: Any) -> DomainEvent:
    row = facts(**fields)
    return DomainEvent("e1", 1, row["uuid"], removed=False, domain=row)


def test_who_was_replaced_writes_nothing() -> None:
    host = a_host()
    old = hosts.follow([host.pk])[host.pk]
    new = hosts.follow([host.pk])[host.pk]
    assert writing.write([Parcel(host.pk, old, [an_event()])]).lost == {host.pk}
    hosts.note_alive({host.pk: old})
    hosts.note_bad_events(host.pk, old, "nonsense")
    host.refresh_from_db()
    assert (host.watched_at, host.problem, Domain.objects.count()) == (None, "", 0)
    assert not writing.write([Parcel(host.pk, new, [an_event()])]).lost
    assert Domain.objects.count() == 1


def test_who_was_replaced_settles_nothing(django_user_model: type[User]) -> None:
    host = a_host()
    operation = asked_for(host, django_user_model.objects.create_user("ada"))
    Operation.objects.filter(pk=operation.pk).update(sent_at=timezone.now())
    old = hosts.follow([host.pk])[host.pk]
    new = hosts.follow([host.pk])[host.pk]
    document = {"id": str(operation.pk), "journal_id": "j", "verb": "start", "state": "done", "age": 1}
    document |= {"progress": None, "result": {}, "problem": None}
    verdict = OperationEvent("e1", 1, document, domain=None)
    assert writing.write([Parcel(host.pk, old, [verdict])]).lost == {host.pk}
    operation.refresh_from_db()
    assert operation.is_open
    assert not writing.write([Parcel(host.pk, new, [verdict])]).lost
    operation.refresh_from_db()
    assert not operation.is_open


def test_of_many_hosts_only_those_that_are_ours_are_written() -> None:
    ours, lost = a_host(), a_host()
    generations = hosts.follow([ours.pk, lost.pk])
    hosts.follow([lost.pk])
    parcels = [Parcel(pk, generation, [an_event()]) for pk, generation in generations.items()]
    assert writing.write(parcels).lost == {lost.pk}
    assert Domain.objects.get().host == ours


def test_what_the_database_does_not_take_harms_its_own_host_alone() -> None:
    liar, honest = a_host(), a_host()
    generations = hosts.follow([liar.pk, honest.pk])
    lie, truth = an_event(memory=-1), an_event()
    outcome = writing.write(
        [
            Parcel(liar.pk, generations[liar.pk], [lie]),
            Parcel(honest.pk, generations[honest.pk], [truth]),
        ]
    )
    assert outcome.failed.keys() == {liar.pk}
    assert Domain.objects.get().host == honest


def test_a_watcher_gives_way_to_another_and_takes_its_share_when_it_ends() -> None:
    first, second = leases.Leases(), leases.Leases()
    assert first.turn() == frozenset(range(leases.SHARDS))
    assert second.turn() == frozenset()
    shared = first.turn(), second.turn()
    assert [len(shards) for shards in shared] == [32, 32]
    assert not shared[0] & shared[1]
    second.end()
    assert len(first.turn()) == leases.SHARDS
    first.end()


def test_an_emptied_redis_leaves_each_shard_with_one_watcher(redis_server: Redis) -> None:
    first, second = leases.Leases(), leases.Leases()
    first.turn(), second.turn(), first.turn(), second.turn()
    redis_server.flushdb()
    for _ in range(2):
        shared = first.turn(), second.turn()
    assert not shared[0] & shared[1]
    assert len(shared[0] | shared[1]) == leases.SHARDS
    first.end()
    second.end()


def test_a_lease_that_was_not_renewed_in_time_is_not_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    found = leases.Leases()
    sure = [found.sure]
    found.turn()
    sure.append(found.sure)
    now = time.monotonic()
    monkeypatch.setattr("domains.watcher.leases.time.monotonic", lambda: now + leases.LEASE_SECONDS)
    sure.append(found.sure)
    assert sure == [False, True, False]
    found.end()


async def test_two_watchers_never_follow_one_host(play: Play) -> None:
    daemons = [play() for _ in range(4)]
    domains = [daemon.add(state="shutoff") for daemon in daemons]
    for daemon, pk in zip(daemons, (5, 6, 40, 41), strict=True):
        await database_sync_to_async(daemon.host)(pk=pk)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(started())
        for domain in domains:
            await becomes(domain, "shutoff")
        second = await stack.enter_async_context(started())

        async def shared() -> bool:
            # Of 64 shards the upper half changes hands.
            return (set(first.followers), set(second.followers)) == ({5, 6}, {40, 41})

        await until(shared)
        for daemon, domain in zip(daemons, domains, strict=True):
            daemon.change(domain["uuid"], state="running")
            await becomes(domain, "running")

        async def alone() -> bool:
            return all(daemon.connected == 1 for daemon in daemons)

        await until(alone)


async def test_without_redis_a_watcher_goes_on_with_what_it_has(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise NotThere("gone")

    daemon = play()
    domain = daemon.add(state="shutoff")
    host = await database_sync_to_async(daemon.host)()
    async with started() as first:
        await becomes(domain, "shutoff")
        monkeypatch.setattr(leases.Leases, "turn", gone)
        async with started() as second:
            daemon.change(domain["uuid"], state="running")
            await becomes(domain, "running")
            assert first.followers.keys() == {host.pk}
            assert not second.followers


Spawn = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def spawn(server: None) -> Any:
    """Starts real watchers, on the database of the tests."""
    processes: list[subprocess.Popen[bytes]] = []
    code = (
        "import django, sys; from django.conf import settings; django.setup();"
        "settings.VIRSHMANAGER_HOME = __import__('pathlib').Path(sys.argv[1]);"
        "from django.db import connections; connections.databases['default']['NAME'] = sys.argv[2];"
        "from hosts import guards; guards._guards[:] = [lambda ip: True];"
        "from django.core.management import call_command; call_command('watch')"
    )

    def start() -> "subprocess.Popen[bytes]":
        home, name = str(settings.VIRSHMANAGER_HOME), str(settings.DATABASES["default"]["NAME"])
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
        process = subprocess.Popen([sys.executable, "-c", code, home, name], env=environment)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
async def test_another_takes_over_within_seconds(play: Play, spawn: Spawn, how: signal.Signals) -> None:
    daemon = play()
    domain = daemon.add(state="shutoff")
    host = await database_sync_to_async(daemon.host)()
    first = spawn()
    await becomes(domain, "shutoff")
    before = await generation_of(host)
    first.send_signal(how)
    begun = time.monotonic()
    if how == signal.SIGTERM:
        assert await asyncio.to_thread(first.wait, 5) == 0
    async with started() as second:

        async def taken() -> bool:
            return host.pk in second.followers

        await until(taken)
        daemon.change(domain["uuid"], state="running")
        await becomes(domain, "running")
        assert time.monotonic() - begun < 10
        assert await generation_of(host) == before + 1
        if how == signal.SIGSTOP:
            first.send_signal(signal.SIGCONT)
            daemon.change(domain["uuid"], state="paused")
            await becomes(domain, "paused")

            async def alone() -> bool:
                return daemon.connected == 1

            await until(alone)
            assert await generation_of(host) == before + 1
