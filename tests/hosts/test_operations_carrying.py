"""Carrying: hosts that are away, hang, refuse, lie and forget. An unreachable host is never a verdict."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone

from hosts import services
from hosts.agent import agent_of, calls
from hosts.agent.transport import Timeouts
from hosts.choices import OperationState, TargetType, Trust
from hosts.models import Host, Operation
from hosts.services.operations import carrying, holding, moves

from .factories import a_host
from .journals import Journal, asked_for, carried, due_now, fresh, moves_of, open_for_long, too_late, word

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server", "dialable")]

S = OperationState


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "JOURNAL", Timeouts(connect=0.4, read=0.3, total=0.5))


# Hosts that do not answer.


def test_an_unreachable_host_is_no_verdict(gone: Host, ada: User) -> None:
    operation = asked_for(gone, ada)
    pauses = []
    for _ in range(6):
        begun = timezone.now()
        operation = carried(due_now(operation))
        # To the half second below: the attempt itself takes a moment.
        pauses.append(int(2 * (operation.due_at - begun).total_seconds()) / 2)
    assert (operation.state, operation.attempts) == (S.ACCEPTED, 6)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    # Nothing was sent, so nothing is in doubt.
    assert (operation.sent_at, operation.journal_id) == (None, "")


def test_what_the_host_never_had_expires_at_the_deadline(gone: Host, ada: User) -> None:
    operation = too_late(carried(asked_for(gone, ada)))
    services.sweep()
    operation = fresh(operation)
    assert (operation.state, word(operation), operation.due_at) == (S.EXPIRED, "expired", moves.NEVER)
    assert operation.problem is not None
    assert "cannot be reached" in operation.problem["detail"]


def test_a_clock_that_was_set_back_puts_nothing_off(host: Host, journal: Journal, ada: User) -> None:
    an_hour = timedelta(hours=1)
    operation = asked_for(host, ada)
    Operation.objects.update(
        created_at=operation.created_at + an_hour,
        due_at=operation.due_at + an_hour,
        deadline=operation.deadline + an_hour,
    )
    services.sweep()
    operation = carried(fresh(operation))
    assert operation.state == S.SUCCEEDED
    # Nor does it get an hour more.
    assert journal.asked[str(operation.pk)]["deadline"] <= 60


def test_nothing_is_sent_after_the_deadline(host: Host, journal: Journal, ada: User) -> None:
    operation = carried(too_late(asked_for(host, ada)))
    assert operation.state == S.EXPIRED
    assert journal.requests == []


@pytest.mark.usefixtures("hasty")
def test_a_host_that_hangs_is_given_up_soon_and_asked_again(host: Host, journal: Journal, ada: User) -> None:
    journal.faults = ["hang", "hang"]
    begun = time.monotonic()
    operation = carried(asked_for(host, ada))
    assert time.monotonic() - begun < 2
    assert (operation.state, operation.sent_at is not None) == (S.ACCEPTED, True)
    journal.faults, journal.ends = [], "done"
    assert carried(due_now(operation)).state == S.SUCCEEDED


@pytest.mark.usefixtures("hasty")
def test_what_may_have_arrived_does_not_expire_without_the_hosts_word(
    host: Host, journal: Journal, ada: User
) -> None:
    journal.faults = ["hang", "hang"]
    operation = too_late(carried(asked_for(host, ada)))
    services.sweep()
    assert fresh(operation).state == S.ACCEPTED
    journal.faults = []
    operation = carried(operation)
    assert (operation.state, word(operation)) == (S.EXPIRED, "expired")
    assert journal.ran == []


def test_what_was_lost_on_the_way_back_runs_once(host: Host, journal: Journal, ada: User) -> None:
    # Each call is tried twice, when a connection that was kept alive is cut.
    journal.faults = ["drop_answer", "drop_answer"]
    operation = carried(asked_for(host, ada, verb="reboot"))
    assert operation.state == S.ACCEPTED
    operation = carried(due_now(operation))
    assert operation.state == S.SUCCEEDED
    assert journal.ran == [str(operation.pk)]


def test_what_ran_shortly_before_the_deadline_has_its_verdict(
    host: Host, journal: Journal, ada: User
) -> None:
    journal.faults = ["drop_answer", "drop_answer"]
    operation = carried(too_late(carried(asked_for(host, ada))))
    assert operation.state == S.SUCCEEDED


def test_a_host_that_had_it_is_asked_long_before_it_is_lost(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    operation = carried(asked_for(host, ada))
    assert operation.state == S.RUNNING
    journal.faults = ["drop_request"] * 4
    operation = carried(too_late(operation, minutes=9.5))
    assert operation.state == S.RUNNING
    operation = carried(too_late(operation, minutes=10.1))
    assert (operation.state, word(operation)) == (S.UNKNOWN, "lost")


def test_a_slow_operation_is_waited_for_after_its_deadline(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    operation = carried(too_late(carried(asked_for(host, ada)), minutes=60))
    assert operation.state == S.RUNNING
    journal.settle(operation.pk, "done")
    assert carried(due_now(operation)).state == S.SUCCEEDED


# Hosts that refuse.


def test_a_refusal_is_a_verdict(host: Host, journal: Journal, ada: User) -> None:
    journal.refuses = (422, "bad_operation")
    operation = carried(asked_for(host, ada))
    assert (operation.state, word(operation)) == (S.FAILED, "bad_operation")


@pytest.mark.parametrize("answer", [(404, "not_found"), (405, "method_not_allowed"), (501, "not_supported")])
def test_a_daemon_too_old_for_operations_says_so(
    host: Host, journal: Journal, ada: User, answer: tuple[int, str]
) -> None:
    journal.refuses = answer
    operation = carried(asked_for(host, ada))
    assert (operation.state, word(operation)) == (S.FAILED, "not_supported")


@pytest.mark.parametrize(
    ("answer", "in_doubt"),
    [
        ((507, "journal_unwritable"), False),
        ((503, "queue_full"), False),
        ((403, "not_owned"), False),
        # A defect of the daemon, and nobody knows whether it came before or after its journal.
        ((500, "internal_error"), True),
    ],
)
def test_a_host_in_trouble_is_no_verdict(
    host: Host, journal: Journal, ada: User, answer: tuple[int, str], *, in_doubt: bool
) -> None:
    journal.refuses = answer
    operation = asked_for(host, ada)
    # The others of this host would fare no better now.
    assert not services.carry(operation.pk)
    operation = fresh(operation)
    assert (operation.state, operation.sent_at is not None) == (S.ACCEPTED, in_doubt)
    journal.refuses = None
    assert carried(due_now(operation)).state == S.SUCCEEDED


@pytest.mark.parametrize("trust", [Trust.DENIED, Trust.RETIRED, Trust.PENDING])
def test_a_host_that_was_given_up_is_not_asked(host: Host, journal: Journal, ada: User, trust: Trust) -> None:
    operation = asked_for(host, ada)
    Host.objects.update(trust=trust)
    operation = carried(operation)
    assert (operation.state, word(operation)) == (S.FAILED, "host_not_owned")
    assert journal.requests == []


def test_what_a_host_had_before_it_was_given_up_is_unknown(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    operation = carried(asked_for(host, ada))
    services.retire(host)
    operation = carried(due_now(operation))
    assert (operation.state, word(operation)) == (S.UNKNOWN, "host_not_owned")


def test_operations_of_a_forgotten_host_end(host: Host, ada: User) -> None:
    operation = asked_for(host, ada)
    Host.objects.update(trust=Trust.DENIED)
    services.forget(host)
    services.sweep()
    operation = fresh(operation)
    assert (operation.state, word(operation), operation.due_at) == (S.FAILED, "host_not_owned", moves.NEVER)


def test_what_was_sent_meanwhile_does_not_expire(host: Host, ada: User) -> None:
    operation = too_late(asked_for(host, ada))
    Operation.objects.update(sent_at=timezone.now())
    assert not holding.expire(operation)
    assert fresh(operation).is_open
    assert holding.expire(operation, sent=True)
    assert (fresh(operation).state, fresh(operation).due_at) == (S.EXPIRED, moves.NEVER)


def test_a_host_whose_breaker_is_open_is_carried_to_all_the_same(
    host: Host, journal: Journal, ada: User
) -> None:
    open_for_long(host)
    assert carried(asked_for(host, ada)).state == S.SUCCEEDED


def test_a_host_of_which_there_are_two_is_not_asked(host: Host, journal: Journal, ada: User) -> None:
    operation = asked_for(host, ada)
    Host.objects.update(problem="duplicate_identity")
    assert carried(operation).state == S.ACCEPTED
    assert journal.requests == []


# What is asked, and how often.


def test_a_watched_host_is_not_asked_all_the_time(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    Host.objects.update(watched_at=timezone.now())
    operation = carried(asked_for(host, ada))
    assert timedelta(seconds=0.5) < operation.due_at - timezone.now() <= timedelta(seconds=1)
    Operation.objects.update(sent_at=timezone.now() - timedelta(minutes=1))
    operation = carried(due_now(operation))
    assert operation.due_at - timezone.now() > timedelta(seconds=10)
    report = journal.settle(operation.pk, "done")
    assert services.settle_report(host.pk, report)
    assert fresh(operation).state == S.SUCCEEDED


@pytest.mark.parametrize(
    ("watched", "age", "pause"),
    [
        # Watched: it tells by itself, and is asked seldom. Else it is asked again when its age has doubled.
        (1, 0, 1),
        (1, 4, 4),
        (1, 60, 15),
        (None, 0, 0.05),
        (None, 2, 2),
        (None, 60, 5),
        # Its watcher told nothing of it for too long.
        (21, 2, 2),
        (21, 60, 5),
    ],
)
def test_how_often_it_is_asked_what_became_of_it(
    host: Host, ada: User, watched: float | None, age: float, pause: float
) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    operation = asked_for(host, ada)
    with time_machine.travel(now, tick=False):
        Host.objects.update(watched_at=watched and now - timedelta(seconds=watched))
        Operation.objects.update(sent_at=now - timedelta(seconds=age), due_at=now, state=S.RUNNING)
        held = holding.take(operation.pk)
        assert held is not None
        holding.look_again(held)
    assert fresh(operation).due_at - now == timedelta(seconds=pause)


def test_what_was_taken_is_known_to_have_been_tried(host: Host, ada: User) -> None:
    operation = asked_for(host, ada)
    held = holding.take(operation.pk)
    assert held is not None
    assert held.first
    taken = fresh(operation)
    assert (taken.attempts, held.operation.attempts) == (1, 1)
    assert (taken.journal_id, taken.due_at) == ("journal-1", held.until)
    assert taken.sent_at == held.operation.sent_at is not None
    held = holding.take(due_now(taken).pk)
    assert held is not None
    assert not held.first
    again = fresh(operation)
    assert (again.attempts, again.sent_at, again.due_at) == (2, taken.sent_at, held.until)


@pytest.mark.parametrize("fields", [{"target_type": "selection"}, {"state": "failed"}])
def test_what_is_not_to_be_carried_is_not_taken(host: Host, ada: User, fields: dict[str, str]) -> None:
    operation = asked_for(host, ada)
    Operation.objects.update(**fields)
    assert holding.take(operation.pk) is None
    assert fresh(operation).attempts == 0


def test_what_ended_or_is_held_by_another_is_not_let_go(host: Host, ada: User) -> None:
    operation = asked_for(host, ada)
    held = holding.take(operation.pk)
    assert held is not None
    later = replace(held, until=held.until + timedelta(seconds=1))
    assert not holding.free(later, due_at=timezone.now())
    assert fresh(operation).due_at == held.until
    assert holding.free(held, due_at=later.until)
    moves.move(operation, S.FAILED)
    Operation.objects.update(due_at=later.until)
    assert not holding.free(later, due_at=held.until)


def test_why_a_host_was_not_reached_is_said_once(gone: Host, ada: User) -> None:
    operation = carried(due_now(carried(asked_for(gone, ada))))
    lines = [(event.state, event.detail) for event in operation.events.all()]
    assert lines[0] == (S.ACCEPTED, "")
    assert [state for state, _ in lines] == [S.ACCEPTED, S.ACCEPTED]
    assert lines[1][1]


def test_a_precondition_is_told_and_a_host_has_no_uuid(host: Host, journal: Journal, ada: User) -> None:
    precondition = {"xml_hash": "ab" * 32}
    asked: dict[str, Any] = {"target_type": TargetType.HOST, "target_uuid": host.uuid, "verb": "define"}
    operation = carried(asked_for(host, ada, **asked, precondition=precondition))
    told = journal.asked[str(operation.pk)]
    assert (told["target"], told["precondition"]) == ({"type": "host"}, precondition)


@pytest.mark.parametrize(
    ("fields", "doubtful"), [({}, False), ({"missed_probes": 1}, True), ({"trust": Trust.RETIRED}, True)]
)
def test_which_hosts_are_doubtful(fields: dict[str, Any], *, doubtful: bool) -> None:
    assert carrying.is_doubtful(a_host(**fields)) == doubtful


def test_a_host_that_failed_a_moment_ago_is_doubtful() -> None:
    host = a_host()
    agent_of(host).line.breaker.failed()
    assert carrying.is_doubtful(host)


def test_a_watcher_that_died_a_moment_ago_costs_a_second(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    Host.objects.update(watched_at=timezone.now())
    operation = asked_for(host, ada)
    carried(operation)
    journal.settle(operation.pk, "done")
    assert services.wait_for(fresh(operation), 3).state == S.SUCCEEDED


def test_the_daemon_gets_what_was_asked_for(host: Host, journal: Journal, ada: User) -> None:
    operation = carried(asked_for(host, ada, verb="autostart", args={"enabled": False}))
    asked = journal.asked[str(operation.pk)]
    assert 50 < asked.pop("deadline") <= 60
    assert asked == {
        "verb": "autostart",
        "target": {"type": "domain", "uuid": str(operation.target_uuid)},
        "args": {"enabled": False},
        "journal_id": "journal-1",
    }
    assert moves_of(operation) == [S.ACCEPTED, S.SUCCEEDED]
    assert operation.started_at is not None


def test_the_timeline_keeps_its_order_when_the_clock_was_set_back(
    host: Host, journal: Journal, ada: User
) -> None:
    operation = asked_for(host, ada)
    operation.events.update(at=timezone.now() + timedelta(hours=1))
    carried(operation)
    assert [event.state for event in operation.events.all()] == [S.ACCEPTED, S.SUCCEEDED]
