"""Carrying operations to their daemons."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from ... import faults
from ...agent import Agent, agent_of
from ...choices import OperationState, TargetType, Trust
from ...errors import AgentError, GivenUp, ProblemAnswer
from ...models import Host, Operation
from ...payloads import OperationDocument, Problem
from .acknowledging import acknowledge
from .doubts import unknown_there
from .holding import FIRST_PAUSE, Held, agent_for, give_up, look_again, note, put_off, take
from .moves import NEVER
from .places import Entry, places
from .settling import end, settle

S = OperationState
EXCHANGE_SECONDS: Final = 5.0
NO_PLACE_PAUSE: Final = timedelta(seconds=2)
# How a daemon answers that is too old to know operations.
NO_SUCH_ROUTE: Final = frozenset({"not_found", "method_not_allowed"})


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


def carry(operation_id: UUID, *, within: float = EXCHANGE_SECONDS, known: Operation | None = None) -> bool:
    """Work once on an operation that is due: send it, cancel it, or ask how far it is.

    Takes `within` seconds at most. Returns False when its host gave no answer. Two carriers never work on one
    operation: the one whose update of `due_at` counts has it. `known`: see `take`.
    """
    held = take(operation_id, known)
    if held is None:
        return True
    operation = held.operation
    faults.at("taken")
    try:
        agent = agent_for(operation)
        document = _exchange(agent, held, within)
        faults.at("sent")
    except GivenUp:
        give_up(held)
    except ProblemAnswer as answer:
        return _refused(held, answer)
    except AgentError as error:
        put_off(held, error)
        return False
    else:
        settle(operation, document)
        look_again(held)
    return True


def _exchange(agent: Agent, held: Held, within: float) -> OperationDocument:
    operation = held.operation
    # A clock that is set back gives no operation more time than it was given.
    begun_at = max(timezone.now(), operation.created_at)
    left = (operation.deadline - begun_at).total_seconds()
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
        return unknown_there(held)
    if word == "not_cancellable":
        rows = Operation.objects.filter(pk=operation.pk)
        rows.update(cancel_asked_at=None)
        note(operation, answer.reason)
        look_again(held)
    elif answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.NOT_IMPLEMENTED:
        told = "not_supported" if word in NO_SUCH_ROUTE else word
        end(operation, S.FAILED, problem=Problem(type=told, detail=answer.reason))
    else:
        # Above all a journal that cannot be written: nothing was done.
        put_off(held, answer)
        return False
    return True


def forsake(operation_id: UUID) -> None:
    """End an operation whose host was forgotten."""
    carry(operation_id)
    # A verdict that nobody is left to be told of.
    Operation.objects.ended().filter(pk=operation_id).update(due_at=NEVER)
