"""Sweeping: what is due finds one carrier, hosts in trouble take few places, and verdicts are put away."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hosts import services
from hosts.choices import OperationState
from hosts.models import Host
from hosts.services.operations import holding, moves
from hosts.services.operations.places import Entry, Places, places

from .journals import Journal, asked_for, carried, due_now, fresh

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


def test_a_failure_puts_off_the_others_of_this_host(gone: Host, ada: User) -> None:
    operations = [asked_for(gone, ada) for _ in range(5)]
    services.carry_host(gone.pk)
    attempts = sorted(fresh(operation).attempts for operation in operations)
    assert attempts == [0, 0, 0, 0, 1]
    assert all(fresh(operation).due_at > timezone.now() for operation in operations)


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
    assert fresh(operation).due_at > timezone.now()


def test_the_sweep_wakes_a_carrier_for_each_host_with_something_due(
    host: Host, gone: Host, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr("hosts.services.operations.sweeping.wake_carriers", woken.extend)
    for _ in range(3):
        asked_for(host, ada)
    services.sweep()
    assert woken == [host.pk]


def test_a_verdict_is_acknowledged_and_then_left_alone(host: Host, journal: Journal, ada: User) -> None:
    operation = asked_for(host, ada)
    services.carry_host(host.pk)
    operation = fresh(operation)
    assert (operation.state, operation.acknowledged, operation.due_at) == (S.SUCCEEDED, True, moves.NEVER)
    assert journal.acknowledged == [str(operation.pk)]
