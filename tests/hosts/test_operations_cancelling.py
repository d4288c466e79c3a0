"""Cancelling: the daemon says whether it came in time, and what was cancelled is not sent any more."""

import pytest
from django.contrib.auth.models import User

from hosts import services
from hosts.choices import OperationState
from hosts.errors import Unreachable
from hosts.models import Host
from hosts.services.operations import holding, moves

from .journals import Journal, asked_for, carried, due_now, too_late, word

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server", "dialable")]

S = OperationState


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
