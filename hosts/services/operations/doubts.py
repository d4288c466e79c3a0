"""What becomes of an operation that the daemon's journal does not know."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from ...agent import Agent
from ...choices import OperationState, TargetType
from ...errors import AgentError, GivenUp, ProblemAnswer
from ...models import Host, Operation
from ...signals import domain_reported
from .holding import Held, agent_for, expire, free, give_up, pause_of, put_off
from .observing import is_visible
from .settling import end, problem

S = OperationState
# A look at the host and at the domain take 20 s at most.
HOLD_TO_OBSERVE: Final = timedelta(seconds=30)


def unknown_there(held: Held) -> bool:
    """The daemon's journal does not know the operation: either it never got it, or the journal is another."""
    operation = held.operation
    longer = replace(held, until=timezone.now() + HOLD_TO_OBSERVE)
    if not free(held, due_at=longer.until):
        return True
    held = longer
    try:
        agent = agent_for(operation)
        journal = agent.host()["journal_id"]
        if operation.state == S.ACCEPTED and (held.first or journal == operation.journal_id != ""):
            _never_received(held, journal)
        else:
            _observe(operation, agent)
    except GivenUp:
        give_up(held)
    except AgentError as error:
        put_off(held, error)
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
        free(held, sent_at=None, journal_id="", due_at=timezone.now() + pause_of(operation))


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
            domain_reported.send(sender=Operation, host_id=operation.host_id, domains=[found])
        if visible:
            end(operation, S.SUCCEEDED, result={"observed": True})
        else:
            end(operation, S.UNKNOWN, problem=problem("journal_changed"))
