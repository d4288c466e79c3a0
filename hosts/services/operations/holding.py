"""Holding an operation: one carrier at a time, and when it is looked at again.

An unreachable host is no verdict: it is asked again after 0.5, 1, 2, 4, then every 5 s. What certainly never
reached the daemon may end as expired at its deadline. Of what may have, only the daemon can tell: it is asked
until it does. `sent_at` says since when the daemon may know of an operation.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from ...agent import Agent, agent_of
from ...choices import OperationState, TargetType, Trust
from ...errors import AgentError, DuplicateIdentity, GivenUp
from ...models import Operation, OperationEvent
from ..watching import is_followed
from .moves import announce
from .settling import end, problem

S = OperationState
# A carrier that died holds its operation up for so long; an exchange with a daemon takes 5 s at most.
HOLD: Final = timedelta(seconds=10)
FIRST_PAUSE: Final = timedelta(seconds=0.5)
LONGEST_PAUSE: Final = timedelta(seconds=5)
MOST_DOUBLINGS: Final = 4
# What was sent may be done in a moment: it is looked at again when its age has doubled.
FIRST_LOOK: Final = timedelta(seconds=0.05)
# A followed host tells of its operations by itself. But its watcher may have died a moment ago.
FIRST_FOLLOWED_LOOK: Final = timedelta(seconds=1)
LONGEST_FOLLOWED_PAUSE: Final = timedelta(seconds=15)
# For so long after its deadline a host that had an operation is asked what became of it.
LOST_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Held:
    """An operation that this carrier alone may work on, until `until`.

    `first`: before this attempt the daemon cannot have known of it.
    """

    operation: Operation
    until: datetime
    first: bool


def take(operation_id: UUID, known: Operation | None = None) -> Held | None:
    """Hold an operation that is due, unless another carrier does; None also of one that ends here.

    Who has just stored it knows it, and spares a look: `known`, which is due. That it is still so, the update
    tells.
    """
    now = timezone.now()
    operation = known or _due(operation_id, now)
    if operation is None:
        return None
    held = Held(operation, now + HOLD, first=operation.sent_at is None)
    if held.first and operation.cancel_asked_at:
        # While it was being sent, which failed: it must not be sent again.
        end(operation, S.CANCELLED, problem=problem("cancelled"), where=Q(sent_at=None))
        return None
    if held.first and operation.deadline <= now:
        expire(operation)
        return None
    values: dict[str, Any] = {"due_at": held.until, "attempts": F("attempts") + 1}
    if held.first:
        # Before it is sent, so that one that dies in between leaves no doubt.
        operation.journal_id = operation.host.journal_id if operation.host else ""
        values |= {"sent_at": now, "journal_id": operation.journal_id}
    unchanged = Operation.objects.open().filter(
        pk=operation.pk, due_at=operation.due_at, sent_at=operation.sent_at
    )
    taken = unchanged.update(**values)
    operation.attempts += 1
    operation.sent_at = operation.sent_at or now
    return held if taken else None


def _due(operation_id: UUID, now: datetime) -> Operation | None:
    rows = Operation.objects.open().exclude(target_type=TargetType.SELECTION).select_related("host")
    return rows.filter(pk=operation_id, due_at__lte=now).first()


def agent_for(operation: Operation) -> Agent:
    host = operation.host
    if host is None or host.trust != Trust.OWNED:
        raise GivenUp("host_not_owned")
    if host.duplicated:
        raise DuplicateIdentity
    # The back-off of an operation is its own: a host that is back is found within 5 s.
    return agent_of(host, insist=True)


def expire(operation: Operation, *, sent: bool = False) -> bool:
    """End an operation that the daemon never got: it was not `sent`, or the daemon says so."""
    why = operation.events.exclude(detail="").order_by("pk").last()
    never = Q() if sent else Q(sent_at=None)
    return end(
        operation,
        S.EXPIRED,
        problem=problem("expired", detail=why.detail if why else ""),
        where=never,
        sent_at=None,
    )


def give_up(held: Held) -> None:
    """The host was denied, retired or forgotten. What it may have had, nobody can tell any more."""
    state = S.FAILED if held.first else S.UNKNOWN
    end(held.operation, state, problem=problem("host_not_owned"), sent_at=None)


def put_off(held: Held, error: AgentError) -> None:
    """The host gave no answer that counts: that is no verdict, until it is too late for one."""
    operation = held.operation
    if not held.first and timezone.now() > operation.deadline + LOST_AFTER:
        end(operation, S.UNKNOWN, problem=problem("lost"))
        return
    if operation.attempts == 1:
        note(operation, error.reason)
    values: dict[str, Any] = {"due_at": timezone.now() + pause_of(operation)}
    if held.first and not error.may_have_arrived:
        values |= {"sent_at": None, "journal_id": ""}
    free(held, **values)


def pause_of(operation: Operation) -> timedelta:
    doublings = min(operation.attempts - 1, MOST_DOUBLINGS)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def look_again(held: Held) -> None:
    """The daemon has it and works on it. A cancellation that was asked for meanwhile is passed on at once."""
    operation, now = held.operation, timezone.now()
    followed = operation.host is not None and is_followed(operation.host, now)
    age = now - (operation.sent_at or now)
    first, longest = (
        (FIRST_FOLLOWED_LOOK, LONGEST_FOLLOWED_PAUSE) if followed else (FIRST_LOOK, LONGEST_PAUSE)
    )
    pause = min(max(first, age), longest)
    free(held, due_at=now + pause)
    if operation.cancel_asked_at is None:
        asked = Operation.objects.open().filter(pk=operation.pk, cancel_asked_at__isnull=False)
        asked.filter(due_at=now + pause).update(due_at=now)


def free(held: Held, **values: Any) -> bool:
    """Let go of an operation, unless it ended or another has it by now."""
    rows = Operation.objects.open().filter(pk=held.operation.pk, due_at=held.until)
    return bool(rows.update(**values))


def note(operation: Operation, detail: str) -> None:
    """Say on the timeline why it is not further."""
    with transaction.atomic():
        OperationEvent.objects.create(operation=operation, state=operation.state, detail=detail)
        announce([operation])
