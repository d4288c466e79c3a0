"""Cancelling: the daemon says whether it came in time, and what was cancelled is not sent any more."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from access.choices import Role
from hosts import services
from hosts.choices import OperationState
from hosts.errors import NotPossible, Unreachable
from hosts.models import Host, Operation
from hosts.services.operations import cancelling, holding, moves
from tests.access.granting import granted

from .factories import a_host
from .journals import Journal, asked_for, bulk_of, carried, due_now, fresh, too_late, word

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server", "dialable")]

S = OperationState


@pytest.mark.parametrize(("verb", "role"), [("start", Role.VIEWER), ("define", Role.OPERATOR)])
def test_who_may_not_ask_for_a_verb_cancels_none(ada: User, sam: User, verb: str, role: Role) -> None:
    granted(sam, role)
    operation = asked_for(a_host(), ada, verb=verb)
    assert not services.may_cancel(operation, sam)
    with pytest.raises(PermissionDenied):
        services.cancel(operation, actor=sam)
    assert fresh(operation).state == S.ACCEPTED


def test_who_operates_the_target_cancels_what_others_asked_for(ada: User, sam: User) -> None:
    host = a_host()
    granted(sam, Role.OPERATOR, host)
    assert not services.may_cancel(asked_for(a_host(), ada), sam)
    operation = asked_for(host, ada)
    assert services.may_cancel(operation, sam)
    operation = services.cancel(operation, actor=sam)
    assert operation.state == S.CANCELLED
    assert [event.detail for event in operation.events.all()][-1] == "sam cancelled it."


def test_to_cancel_for_many_domains_takes_a_right_on_each(ada: User, sam: User) -> None:
    granted_one, other = a_host(), a_host()
    granted(sam, Role.OPERATOR, granted_one)
    parents = [bulk_of(hosts, sam) for hosts in ([granted_one] * 2, [granted_one, other])]
    assert [services.may_cancel(parent, sam) for parent in parents] == [True, False]
    assert services.may_cancel(bulk_of([granted_one], ada), sam) is False
    with pytest.raises(PermissionDenied):
        services.cancel(parents[1], actor=sam)
    assert parents[1].children.filter(state=S.CANCELLED).count() == 0


def test_many_that_have_ended_are_not_cancelled(ada: User) -> None:
    parent = services.cancel(bulk_of([a_host()], ada), actor=ada)
    assert parent.state == S.CANCELLED
    with pytest.raises(NotPossible) as caught:
        services.cancel(parent, actor=ada)
    assert caught.value.problem == "operation_ended"


@pytest.mark.parametrize(("state", "asked_now"), [(S.ACCEPTED, False), (S.SENT, True), (S.RUNNING, True)])
def test_a_daemon_that_has_it_for_certain_is_asked_at_once(
    ada: User, state: OperationState, *, asked_now: bool
) -> None:
    """Else a carrier may be sending it now: that one sees the cancellation when it is done."""
    later = timezone.now() + timedelta(seconds=9)
    operation = asked_for(a_host(), ada, verb="save")
    Operation.objects.filter(pk=operation.pk).update(sent_at=timezone.now(), state=state, due_at=later)
    operation = services.cancel(fresh(operation), actor=ada)
    assert operation.cancel_asked_at is not None
    assert (operation.due_at <= timezone.now()) == asked_now
    assert asked_now or operation.due_at == later


def test_a_cancellation_wakes_the_carriers_of_the_host(
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    woken: list[int] = []
    monkeypatch.setattr(cancelling, "wake_carriers", woken.extend)
    host = a_host()
    operation = asked_for(host, ada)
    Operation.objects.filter(pk=operation.pk).update(sent_at=timezone.now(), state=S.SENT)
    with django_capture_on_commit_callbacks(execute=True):
        services.cancel(fresh(operation), actor=ada)
    assert woken == [host.pk]


@pytest.mark.parametrize("late", [False, True])
def test_what_is_cancelled_while_its_carrier_looks_is_passed_on_at_once(
    host: Host, journal: Journal, ada: User, *, late: bool
) -> None:
    journal.ends = "received"
    operation = carried(asked_for(host, ada))
    held = holding.take(due_now(operation).pk)
    assert held is not None
    if late:
        services.cancel(fresh(operation), actor=ada)
        # As a carrier has it that holds the operation meanwhile.
        Operation.objects.filter(pk=operation.pk).update(due_at=held.until)
    holding.look_again(held)
    assert (fresh(operation).due_at <= timezone.now()) == late


def test_a_daemon_is_asked_to_cancel_what_it_has(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "received"
    operation = carried(asked_for(host, ada))
    assert operation.state == S.SENT
    services.cancel(operation, actor=ada)
    assert carried(operation).state == S.CANCELLED
    assert journal.ran == []


def test_a_cancellation_that_comes_too_late_changes_nothing(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    operation = carried(asked_for(host, ada, verb="save"))
    services.cancel(operation, actor=ada)
    operation = carried(operation)
    assert (operation.state, operation.cancel_asked_at) == (S.RUNNING, None)
    journal.settle(operation.pk, "done")
    assert carried(due_now(operation)).state == S.SUCCEEDED


def test_what_was_cancelled_in_doubt_is_not_sent_again(host: Host, journal: Journal, ada: User) -> None:
    journal.faults = ["drop_request"] * 2
    operation = carried(asked_for(host, ada, verb="reboot"))
    services.cancel(operation, actor=ada)
    operation = carried(due_now(operation))
    assert (operation.state, word(operation)) == (S.CANCELLED, "cancelled")
    assert journal.ran == []
    # It never had it, so nobody has to tell it of the verdict.
    assert (operation.sent_at, operation.due_at) == (None, moves.NEVER)


@pytest.mark.parametrize("late", [False, True])
def test_what_is_cancelled_while_an_attempt_fails_is_not_sent(
    host: Host, journal: Journal, ada: User, *, late: bool
) -> None:
    operation = asked_for(host, ada, verb="destroy")
    held = holding.take(operation.pk)
    assert held is not None
    services.cancel(operation, actor=ada)
    holding.put_off(held, Unreachable())
    if late:
        too_late(operation)
    operation = carried(due_now(operation))
    assert (operation.state, word(operation), operation.due_at) == (S.CANCELLED, "cancelled", moves.NEVER)
    assert journal.requests == []
