"""Sweeping: what is due finds one carrier, hosts in trouble take few places, and verdicts are put away."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hosts import services
from hosts.choices import OperationState, Trust
from hosts.models import Host, Operation
from hosts.services.operations import acknowledging, carrying, holding, moves
from hosts.services.operations.places import Entry, Places, places

from .factories import a_host
from .journals import Journal, asked_for, carried, due_now, fresh, open_for_long
from .peers import problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server", "dialable")]

S = OperationState


def test_a_held_operation_is_left_alone(host: Host, journal: Journal, ada: User) -> None:
    operation = asked_for(host, ada)
    assert holding.take(operation.pk) is not None
    assert holding.take(operation.pk) is None
    services.carry_host(host.pk)
    assert journal.requests == []


def test_a_carrier_that_died_is_replaced(host: Host, ada: User) -> None:
    operation = asked_for(host, ada)
    assert holding.take(operation.pk) is not None
    operation = fresh(operation)
    assert timedelta() < operation.due_at - timezone.now() <= holding.HOLD
    assert carried(due_now(operation)).state == S.SUCCEEDED


def test_one_host_at_a_time_and_few_that_are_doubtful() -> None:
    room = Places(doubtful=1)
    assert room.enter(1, doubtful=True) is Entry.TAKEN
    assert room.enter(1, doubtful=True) is Entry.BUSY
    assert room.enter(2, doubtful=True) is Entry.FULL
    assert room.enter(3, doubtful=False) is Entry.TAKEN
    assert room.leave(1)
    assert not room.leave(3)
    assert room.enter(2, doubtful=True) is Entry.TAKEN


def test_doubtful_hosts_share_the_room_that_is_theirs() -> None:
    room = Places(doubtful=2)
    assert room.enter(1, doubtful=False) is Entry.TAKEN
    assert [room.enter(one, doubtful=True) for one in (2, 3, 4)] == [Entry.TAKEN, Entry.TAKEN, Entry.FULL]
    assert not room.leave(2)
    assert room.enter(4, doubtful=True) is Entry.TAKEN


def test_who_came_for_a_host_is_told_of_once() -> None:
    room = Places(doubtful=1)
    room.enter(1, doubtful=False)
    room.enter(1, doubtful=False)
    assert room.leave(1)
    room.enter(1, doubtful=False)
    assert not room.leave(1)


def test_who_is_called_while_it_carries_looks_once_more(
    host: Host, journal: Journal, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is accepted after its last look, and whose task found the place taken, waits for no sweep."""
    first = asked_for(host, ada)
    late: list[Operation] = []

    def accept_one_more(of: Host) -> None:
        if not late:
            late.append(asked_for(of, ada))
            services.carry_host(of.pk)

    monkeypatch.setattr(carrying, "acknowledge", accept_one_more)
    services.carry_host(host.pk)
    assert [fresh(operation).state for operation in (first, *late)] == [S.SUCCEEDED] * 2


def test_a_host_that_is_not_there_any_more_is_not_carried(host: Host, journal: Journal) -> None:
    services.carry_host(host.pk + 1)
    assert journal.requests == []


def test_what_is_due_first_is_carried_first(host: Host, journal: Journal, ada: User) -> None:
    operations = [asked_for(host, ada) for _ in range(3)]
    for place, operation in enumerate(operations):
        Operation.objects.filter(pk=operation.pk).update(due_at=timezone.now() - timedelta(seconds=1 + place))
    services.carry_host(host.pk)
    assert journal.ran == [str(operation.pk) for operation in reversed(operations)]


def test_a_failure_puts_off_the_others_of_this_host(gone: Host, ada: User) -> None:
    operations = [asked_for(gone, ada) for _ in range(5)]
    services.carry_host(gone.pk)
    attempts = sorted(fresh(operation).attempts for operation in operations)
    assert attempts == [0, 0, 0, 0, 1]
    waits = [fresh(operation).due_at - timezone.now() for operation in operations]
    assert all(timedelta() < wait <= holding.FIRST_PAUSE for wait in waits)


def test_hosts_that_hang_find_no_more_places_than_theirs(gone: Host, ada: User) -> None:
    operation = asked_for(gone, ada)
    Host.objects.update(missed_probes=1)
    taken = list(range(-1, -1000, -1))
    held = [one for one in taken if places.enter(one, doubtful=True) is Entry.TAKEN]
    try:
        services.carry_host(gone.pk)
    finally:
        for one in held:
            places.leave(one)
    assert (len(held), fresh(operation).attempts) == (8, 0)
    assert timedelta() < fresh(operation).due_at - timezone.now() <= carrying.NO_PLACE_PAUSE


def test_the_sweep_wakes_a_carrier_for_each_host_with_something_due(
    host: Host, gone: Host, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr("hosts.services.operations.sweeping.wake_carriers", woken.extend)
    for _ in range(3):
        asked_for(host, ada)
    services.sweep()
    assert woken == [host.pk]


def test_the_sweep_leaves_alone_what_was_put_off(
    host: Host, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr("hosts.services.operations.sweeping.wake_carriers", woken.extend)
    later = timezone.now() + timedelta(seconds=50)
    operation = asked_for(host, ada)
    Operation.objects.filter(pk=operation.pk).update(due_at=later)
    services.sweep()
    assert (woken, fresh(operation).due_at) == ([], later)


def test_a_verdict_is_acknowledged_and_then_left_alone(host: Host, journal: Journal, ada: User) -> None:
    operation = asked_for(host, ada)
    services.carry_host(host.pk)
    operation = fresh(operation)
    assert (operation.state, operation.acknowledged, operation.due_at) == (S.SUCCEEDED, True, moves.NEVER)
    assert journal.acknowledged == [str(operation.pk)]


def ended(host: Host, actor: User) -> Operation:
    """An operation whose verdict the daemon may forget, and does not know that yet."""
    operation = carried(asked_for(host, actor))
    assert (operation.state, operation.acknowledged) == (S.SUCCEEDED, False)
    return operation


def test_a_daemon_that_is_away_is_told_of_its_verdicts_in_a_minute(
    host: Host, journal: Journal, ada: User
) -> None:
    operation = ended(host, ada)
    journal.faults = ["drop_request"] * 2
    services.carry_host(host.pk)
    operation = fresh(operation)
    assert (operation.acknowledged, journal.acknowledged) == (False, [])
    assert timedelta(seconds=55) < operation.due_at - timezone.now() <= timedelta(seconds=60)
    services.carry_host(host.pk)
    assert journal.acknowledged == []
    due_now(operation)
    services.carry_host(host.pk)
    assert journal.acknowledged == [str(operation.pk)]


def test_a_host_whose_breaker_is_open_is_told_all_the_same(host: Host, journal: Journal, ada: User) -> None:
    operation = ended(host, ada)
    open_for_long(host)
    services.carry_host(host.pk)
    assert journal.acknowledged == [str(operation.pk)]


def test_a_daemon_that_does_not_want_to_know_is_not_told_again(
    host: Host, journal: Journal, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = ended(host, ada)
    monkeypatch.setattr(journal, "answer", lambda *_: problem(404, "not_found"))
    services.carry_host(host.pk)
    assert (fresh(operation).acknowledged, fresh(operation).due_at) == (False, moves.NEVER)


def test_a_host_that_is_ours_no_more_is_told_nothing(host: Host, journal: Journal, ada: User) -> None:
    operation = ended(host, ada)
    Host.objects.update(trust=Trust.RETIRED)
    services.carry_host(host.pk)
    assert (fresh(operation).acknowledged, fresh(operation).due_at) == (False, moves.NEVER)
    assert journal.acknowledged == []


def test_many_verdicts_are_acknowledged_in_parts_and_those_of_other_hosts_are_not(
    host: Host, journal: Journal, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledging, "MOST_ACKNOWLEDGED", 2)
    operations = [ended(host, ada) for _ in range(3)]
    other = asked_for(a_host(), ada)
    Operation.objects.filter(pk=other.pk).update(sent_at=timezone.now())
    moves.move(other, S.SUCCEEDED)
    journal.requests.clear()
    services.carry_host(host.pk)
    assert sorted(journal.acknowledged) == sorted(str(operation.pk) for operation in operations)
    assert journal.requests == [("POST", "/v1/operations/acknowledge")] * 2
    assert not fresh(other).acknowledged
