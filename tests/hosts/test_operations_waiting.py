"""Waiting for a verdict, and two who do the same at once: threads, as in service."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from hosts import live, services
from hosts.choices import OperationState
from hosts.errors import NotPossible
from hosts.models import Host, Operation
from hosts.services.operations import moves, waiting
from hosts.services.operations.bulk import advance
from hosts.services.operations.moves import NEVER
from tests.threads import meanwhile, together

from .factories import a_host
from .journals import Journal, asked_for, bulk_of, fresh, moves_of, too_late

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server", "dialable"),
]

S = OperationState


def test_who_waits_is_answered_when_the_time_is_over(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    begun = time.monotonic()
    operation = services.wait_for(asked_for(host, ada), 1)
    assert 0.9 < time.monotonic() - begun < 3
    assert operation.state == S.RUNNING


def test_when_too_many_wait_nobody_waits_more(host: Host, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_room", threading.BoundedSemaphore(1))
    assert waiting._room.acquire(blocking=False)
    begun = time.monotonic()
    operation = services.wait_for(asked_for(host, ada), 20)
    assert time.monotonic() - begun < 2
    assert operation.state == S.ACCEPTED


def test_a_doubtful_host_is_left_to_workers(host: Host, journal: Journal, ada: User) -> None:
    Host.objects.update(missed_probes=1)
    operation = services.wait_for(fresh(asked_for(host, ada)), 0.2)
    assert (operation.state, journal.requests) == (S.ACCEPTED, [])


def test_who_waits_carries(host: Host, journal: Journal, ada: User) -> None:
    begun = time.monotonic()
    operation = services.wait_for(asked_for(host, ada), 10)
    assert time.monotonic() - begun < 5
    assert (operation.state, journal.ran) == (S.SUCCEEDED, [str(operation.pk)])


@pytest.mark.parametrize("missed_probes", [0, 1])
def test_pages_hear_of_it_when_it_is_sent_or_left_to_workers(
    host: Host, ada: User, missed_probes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[live.News] = []
    monkeypatch.setattr(moves, "publish_all", heard.extend)
    host.missed_probes = missed_probes
    operation = asked_for(host, ada)
    assert heard == []
    services.wait_for(operation, 0.2)
    assert {news.id for news in heard} == {str(operation.pk)}


def test_what_changed_since_it_was_stored_is_not_sent(host: Host, journal: Journal, ada: User) -> None:
    cancelled = asked_for(host, ada)
    services.cancel(cancelled, actor=ada)
    assert services.carry(cancelled.pk, known=cancelled)
    assert (fresh(cancelled).state, journal.requests) == (S.CANCELLED, [])
    journal.ends = "started"
    carried = asked_for(host, ada)
    for _ in range(2):
        assert services.carry(carried.pk, known=carried)
    assert [method for method, _ in journal.requests] == ["PUT"]
    assert fresh(carried).attempts == 1


def report_when_it_runs(host: Host, journal: Journal, operation: Operation, at: list[float]) -> None:
    """What a watcher does: pass on the verdict, soon after the daemon has it."""
    ends = time.monotonic() + 10
    while not journal.ran and time.monotonic() < ends:
        time.sleep(0.01)
    with journal.lock:
        document = dict(journal.settle(operation.pk, "done"))
    while not services.settle_report(host.pk, document):
        assert time.monotonic() < ends
    at.append(time.monotonic())


def test_a_report_wakes_who_waits(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    # Watched: the daemon is not asked again for a while.
    Host.objects.update(watched_at=timezone.now())
    operation = fresh(asked_for(host, ada))
    at: list[float] = []
    with meanwhile(lambda: report_when_it_runs(host, journal, operation, at)):
        operation = services.wait_for(operation, 15)
        woken = time.monotonic()
    assert operation.state == S.SUCCEEDED
    assert woken - at[0] < 0.5


@pytest.mark.usefixtures("no_redis")
def test_without_redis_it_is_carried_and_seen_all_the_same(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    Host.objects.update(watched_at=timezone.now())
    operation = fresh(asked_for(host, ada))
    with meanwhile(lambda: report_when_it_runs(host, journal, operation, [])):
        operation = services.wait_for(operation, 15)
    assert operation.state == S.SUCCEEDED


# Two at once.


def at_once(*works: Callable[[], object]) -> list[Any]:
    """Begin all of it in the same moment; return what came of it."""
    gate = threading.Barrier(len(works))
    found: list[Any] = []

    def begin(work: Callable[[], object]) -> None:
        gate.wait()
        found.append(work())

    together(*[partial(begin, work) for work in works])
    assert len(found) == len(works)
    return found


def cancelled(operation: Operation, actor: User) -> bool:
    try:
        services.cancel(operation, actor=actor)
    except NotPossible:
        return False
    return True


def overtaken(operation: Operation) -> None:
    """Its deadline passes, and the sweep sees that."""
    too_late(operation)
    services.sweep()


def test_two_requests_with_one_key_give_one_operation(host: Host, ada: User) -> None:
    found = at_once(*[lambda: asked_for(host, ada, key="k").pk] * 4)
    assert len(set(found)) == Operation.objects.count() == 1


@pytest.mark.parametrize("key", ["", "k"])
def test_of_a_host_that_was_forgotten_meanwhile_nothing_is_accepted(host: Host, ada: User, key: str) -> None:
    Host.objects.all().delete()
    with pytest.raises(IntegrityError):
        asked_for(host, ada, key=key)
    assert not Operation.objects.exists()


def test_two_carriers_never_send_one_operation_twice(host: Host, journal: Journal, ada: User) -> None:
    operations = [asked_for(host, ada, verb="reboot") for _ in range(8)]
    at_once(*[lambda: [services.carry(operation.pk) for operation in operations]] * 4)
    puts = [path for method, path in journal.requests if method == "PUT"]
    assert len(puts) == len(set(puts)) == 8
    assert {fresh(operation).attempts for operation in operations} == {1}


def test_of_two_verdicts_one_counts(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    for _ in range(5):
        operation = asked_for(host, ada)
        services.carry(operation.pk)
        known = journal.operations[str(operation.pk)]
        verdicts = [known | {"state": state} for state in ("done", "failed", "done", "unknown")]
        moved = at_once(*[partial(services.settle_report, host.pk, verdict) for verdict in verdicts])
        assert sum(moved) == 1
        assert len(moves_of(operation)) == 3


def test_cancelled_or_sent_but_not_both(host: Host, journal: Journal, ada: User) -> None:
    for _ in range(8):
        operation = asked_for(host, ada, verb="reboot")
        at_once(partial(services.carry, operation.pk), partial(cancelled, operation, ada))
        ran = str(operation.pk) in journal.ran
        assert fresh(operation).state == (S.SUCCEEDED if ran else S.CANCELLED)


def test_expired_or_sent_but_not_both(host: Host, journal: Journal, ada: User) -> None:
    for _ in range(8):
        operation = asked_for(host, ada, verb="reboot")
        at_once(partial(services.carry, operation.pk), partial(overtaken, operation))
        ran = str(operation.pk) in journal.ran
        services.carry(operation.pk)
        assert fresh(operation).state == (S.SUCCEEDED if ran else S.EXPIRED)


def test_a_broker_that_is_gone_is_asked_once_for_all_hosts(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def gone(*_: object, **how: object) -> None:
        tried.append(how["args"])
        raise BrokerError("gone")

    monkeypatch.setattr("celery.current_app.send_task", gone)
    parent = bulk_of([a_host() for _ in range(3)], ada)
    assert parent.children.exclude(due_at=NEVER).count() == 3
    assert len(tried) == 1
    services.sweep()
    assert len(tried) == 2


def test_two_that_look_at_a_parent_release_one_child(host: Host, ada: User) -> None:
    parent = bulk_of([host] * 6, ada, stop_on_failure=True)
    at_once(*[partial(advance, parent.pk)] * 4)
    assert parent.children.exclude(due_at=NEVER).count() == 1
