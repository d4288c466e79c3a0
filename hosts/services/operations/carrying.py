"""Carrying operations to their daemons.

An unreachable host is no verdict: it is asked again after 0.5, 1, 2, 4, then every 5 s. What certainly never
reached the daemon may end as expired at its deadline. Of what may have, only the daemon can tell: it is asked
until it does. `sent_at` says since when the daemon may know of an operation.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from ... import faults
from ...agent import Agent, agent_of
from ...choices import OperationState, TargetType, Trust
from ...errors import AgentError, DuplicateIdentity, GivenUp, ProblemAnswer
from ...models import Host, Operation, OperationEvent
from ...payloads import OperationDocument, Problem
from ...signals import domain_reported
from .moves import NEVER, announce
from .observing import is_visible
from .places import Entry, places
from .settling import end, problem, settle

S = OperationState
# An exchange is over in 5 s, a look at host and domain in 20 s. A carrier that died holds its operation up
# for so long.
EXCHANGE_SECONDS: Final = 5.0
HOLD: Final = timedelta(seconds=10)
HOLD_TO_OBSERVE: Final = timedelta(seconds=30)
FIRST_PAUSE: Final = timedelta(seconds=0.5)
LONGEST_PAUSE: Final = timedelta(seconds=5)
MOST_DOUBLINGS: Final = 4
# What was sent may be done in a moment: it is looked at again when its age has doubled.
FIRST_LOOK: Final = timedelta(seconds=0.05)
# A watched host tells of its operations by itself; that it does is made sure of now and then.
WATCHED_WITHIN: Final = timedelta(seconds=20)
WATCHED_PAUSE: Final = timedelta(seconds=15)
# For so long after its deadline a host that had an operation is asked what became of it.
LOST_AFTER: Final = timedelta(minutes=10)
NO_PLACE_PAUSE: Final = timedelta(seconds=2)
ACKNOWLEDGED_AT_ONCE: Final = 500
ACKNOWLEDGE_PAUSE: Final = timedelta(seconds=60)
SERVER_ERROR: Final = 500
NOT_IMPLEMENTED: Final = 501
# How a daemon answers that is too old to know operations.
NO_SUCH_ROUTE: Final = frozenset({"not_found", "method_not_allowed"})


@dataclass(frozen=True)
class Held:
    """An operation that this carrier alone may work on, until `until`.

    `first`: before this attempt the daemon cannot have known of it.
    """

    operation: Operation
    until: datetime
    first: bool


def carry_host(host_id: int) -> None:
    """Carry what is due of one host, one after another, unless another thread of this process is at it."""
    host = Host.objects.filter(pk=host_id).first()
    if host is None:
        return
    called = True
    while called:
        entry = places.enter(host_id, doubtful=is_doubtful(host))
        if entry is not Entry.TAKEN:
            if entry is Entry.FULL:
                _due(host).update(due_at=timezone.now() + NO_PLACE_PAUSE)
            return
        try:
            _drain(host)
        finally:
            called = places.leave(host_id)


def is_doubtful(host: Host) -> bool:
    """Whether an attempt is likely to cost its whole timeout."""
    if host.missed_probes or host.trust != Trust.OWNED:
        return True
    return not agent_of(host).calm


def _drain(host: Host) -> None:
    while True:
        due = _due(host).order_by("due_at", "pk").values_list("pk", flat=True)
        pk = due.first()
        if pk is None:
            break
        if not carry(pk):
            # The others would fare no better now.
            _due(host).update(due_at=timezone.now() + FIRST_PAUSE)
            return
    acknowledge(host)


def _due(host: Host) -> QuerySet[Operation]:
    return Operation.objects.open().filter(host=host, due_at__lte=timezone.now())


def carry(operation_id: UUID, *, within: float = EXCHANGE_SECONDS) -> bool:
    """Work once on an operation that is due: send it, cancel it, or ask how far it is.

    Takes `within` seconds at most. Returns False when its host gave no answer. Two carriers never work on one
    operation: the one whose update of `due_at` counts has it.
    """
    held = _take(operation_id)
    if held is None:
        return True
    operation = held.operation
    faults.at("taken")
    try:
        agent = _agent_for(operation)
        document = _exchange(agent, held, within)
        faults.at("sent")
    except GivenUp:
        _give_up(held)
    except ProblemAnswer as answer:
        return _refused(held, answer)
    except AgentError as error:
        _put_off(held, error)
        return False
    else:
        settle(operation, document)
        _look_again(held)
    return True


def _take(operation_id: UUID) -> Held | None:
    now = timezone.now()
    rows = Operation.objects.open().exclude(target_type=TargetType.SELECTION).select_related("host")
    operation = rows.filter(pk=operation_id, due_at__lte=now).first()
    if operation is None:
        return None
    held = Held(operation, now + HOLD, first=operation.sent_at is None)
    if held.first and operation.deadline <= now:
        expire(operation)
        return None
    values: dict[str, Any] = {"due_at": held.until, "attempts": F("attempts") + 1}
    if held.first:
        # Before it is sent, so that one that dies in between leaves no doubt.
        operation.journal_id = operation.host.journal_id if operation.host else ""
        values |= {"sent_at": now, "journal_id": operation.journal_id}
    taken = rows.filter(pk=operation.pk, due_at=operation.due_at, sent_at=operation.sent_at).update(**values)
    operation.attempts += 1
    operation.sent_at = operation.sent_at or now
    return held if taken else None


def _agent_for(operation: Operation) -> Agent:
    host = operation.host
    if host is None or host.trust != Trust.OWNED:
        raise GivenUp("host_not_owned")
    if host.problem == "duplicate_identity":
        raise DuplicateIdentity
    # The back-off of an operation is its own: a host that is back is found within 5 s.
    return agent_of(host, insist=True)


def _exchange(agent: Agent, held: Held, within: float) -> OperationDocument:
    operation = held.operation
    left = (operation.deadline - timezone.now()).total_seconds()
    if operation.cancel_asked_at and not held.first:
        return agent.cancel_operation(operation.pk, within=within)
    if operation.state == S.ACCEPTED and left > 0:
        return agent.put_operation(operation.pk, _wanted(operation, left), within=within)
    return agent.operation(operation.pk, within=within)


def _wanted(operation: Operation, left: float) -> dict[str, Any]:
    target: dict[str, Any] = {"type": operation.target_type}
    if operation.target_type == TargetType.DOMAIN:
        target["uuid"] = str(operation.target_uuid)
    wanted = {"verb": operation.verb, "target": target, "args": operation.args, "deadline": left}
    if operation.precondition:
        wanted["precondition"] = operation.precondition
    if operation.journal_id:
        wanted["journal_id"] = operation.journal_id
    return wanted


def _refused(held: Held, answer: ProblemAnswer) -> bool:
    """The daemon answered with a problem. Returns whether it is well enough to be asked for more."""
    operation = held.operation
    word = answer.problem
    if word in {"journal_changed", "no_such_operation"}:
        return _unknown_there(held)
    if word == "not_cancellable":
        rows = Operation.objects.filter(pk=operation.pk)
        rows.update(cancel_asked_at=None)
        note(operation, answer.reason)
        _look_again(held)
    elif answer.status < SERVER_ERROR or answer.status == NOT_IMPLEMENTED:
        told = "not_supported" if word in NO_SUCH_ROUTE else word
        end(operation, S.FAILED, problem=Problem(type=told, detail=answer.reason))
    else:
        # Above all a journal that cannot be written: nothing was done.
        _put_off(held, answer)
        return False
    return True


def _unknown_there(held: Held) -> bool:
    """The daemon's journal does not know the operation: either it never got it, or the journal is another."""
    operation = held.operation
    longer = replace(held, until=timezone.now() + HOLD_TO_OBSERVE)
    if not _free(held, due_at=longer.until):
        return True
    held = longer
    try:
        agent = _agent_for(operation)
        journal = agent.host()["journal_id"]
        if operation.state == S.ACCEPTED and (held.first or journal == operation.journal_id != ""):
            _never_received(held, journal)
        else:
            _observe(operation, agent)
    except GivenUp:
        _give_up(held)
    except AgentError as error:
        _put_off(held, error)
        return False
    return True


def _never_received(held: Held, journal: str) -> None:
    operation = held.operation
    if operation.cancel_asked_at:
        end(operation, S.CANCELLED, problem=problem("cancelled"), sent_at=None)
    elif operation.deadline <= timezone.now():
        expire(operation, sent=True)
    else:
        # It may be sent as if for the first time, to the journal that is there now.
        if operation.host is not None:
            Host.objects.filter(pk=operation.host.pk).update(journal_id=journal)
        _free(held, sent_at=None, journal_id="", due_at=timezone.now() + _pause(operation))


def _observe(operation: Operation, agent: Agent) -> None:
    """Give the verdict of a look at the target, which is all that is left."""
    found = None
    if operation.target_type == TargetType.DOMAIN and operation.target_uuid:
        try:
            found = agent.domain(operation.target_uuid)
        except ProblemAnswer as answer:
            if answer.problem != "no_such_domain":
                raise
        visible = is_visible(operation.verb, operation.args, found)
    else:
        visible = False
    with transaction.atomic():
        if found is not None:
            domain_reported.send(sender=Operation, host=operation.host, domains=[found])
        if visible:
            end(operation, S.SUCCEEDED, result={"observed": True})
        else:
            end(operation, S.UNKNOWN, problem=problem("journal_changed"))


def expire(operation: Operation, *, sent: bool = False) -> bool:
    """End an operation that the daemon never got: it was not `sent`, or the daemon says so."""
    why = operation.events.exclude(detail="").order_by("at", "pk").last()
    never = Q() if sent else Q(sent_at=None)
    return end(
        operation,
        S.EXPIRED,
        problem=problem("expired", detail=why.detail if why else ""),
        where=never,
        sent_at=None,
    )


def _give_up(held: Held) -> None:
    """The host was denied, retired or forgotten. What it may have had, nobody can tell any more."""
    state = S.FAILED if held.first else S.UNKNOWN
    end(held.operation, state, problem=problem("host_not_owned"), sent_at=None)


def forsake(operation_id: UUID) -> None:
    """End an operation whose host was forgotten."""
    carry(operation_id)
    # A verdict that nobody is left to be told of.
    Operation.objects.ended().filter(pk=operation_id).update(due_at=NEVER)


def _put_off(held: Held, error: AgentError) -> None:
    """The host gave no answer that counts: that is no verdict, until it is too late for one."""
    operation = held.operation
    if not held.first and timezone.now() > operation.deadline + LOST_AFTER:
        end(operation, S.UNKNOWN, problem=problem("lost"))
        return
    if operation.attempts == 1:
        note(operation, error.reason)
    values: dict[str, Any] = {"due_at": timezone.now() + _pause(operation)}
    if held.first and not error.may_have_arrived:
        values |= {"sent_at": None, "journal_id": ""}
    _free(held, **values)


def _pause(operation: Operation) -> timedelta:
    doublings = min(operation.attempts - 1, MOST_DOUBLINGS)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def _look_again(held: Held) -> None:
    """The daemon has it and works on it. A cancellation that was asked for meanwhile is passed on at once."""
    operation, now = held.operation, timezone.now()
    host = operation.host
    watched = host is not None and host.watched_at and now - host.watched_at < WATCHED_WITHIN
    age = now - (operation.sent_at or now)
    pause = WATCHED_PAUSE if watched else min(max(FIRST_LOOK, age), LONGEST_PAUSE)
    _free(held, due_at=now + pause)
    if operation.cancel_asked_at is None:
        asked = Operation.objects.open().filter(pk=operation.pk, cancel_asked_at__isnull=False)
        asked.filter(due_at=now + pause).update(due_at=now)


def _free(held: Held, **values: Any) -> bool:
    """Let go of an operation, unless it ended or another has it by now."""
    rows = Operation.objects.open().filter(pk=held.operation.pk, due_at=held.until)
    return bool(rows.update(**values))


def note(operation: Operation, detail: str) -> None:
    """Say on the timeline why it is not further."""
    with transaction.atomic():
        OperationEvent.objects.create(operation=operation, state=operation.state, detail=detail)
        announce([operation])


def acknowledge(host: Host) -> None:
    """Tell the daemon which of its verdicts are stored here, so that it may forget them."""
    rows = Operation.objects.ended().filter(host=host, due_at__lte=timezone.now())
    while ids := list(rows.values_list("pk", flat=True)[:ACKNOWLEDGED_AT_ONCE]):
        batch = Operation.objects.filter(pk__in=ids)
        try:
            agent_of(host, insist=True).acknowledge(ids)
        except (GivenUp, ProblemAnswer):
            # It is ours no more, or does not want to know.
            batch.update(due_at=NEVER)
        except AgentError:
            batch.update(due_at=timezone.now() + ACKNOWLEDGE_PAUSE)
            return
        else:
            batch.update(due_at=NEVER, acknowledged=True)
