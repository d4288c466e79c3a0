"""What the audit is told of operations: who asked for them, and their verdicts."""

from collections.abc import Collection
from typing import Any

from access import audit
from access.choices import Action
from access.models import AuditEntry

from ...models import Operation
from ...payloads import Problem


def record_accepted(operation: Operation) -> None:
    """Of many domains at once the parent alone: its parts follow with their verdicts."""
    audit.record(Action.OPERATION_ACCEPT, target_of(operation), **_told(operation))


def record_verdicts(operations: Collection[Operation], verdict: str, problem: Problem | None) -> None:
    """A verdict is the asker's, whoever found it out."""
    audit.record_all([_verdict(operation, verdict, problem) for operation in operations])


def _verdict(operation: Operation, verdict: str, problem: Problem | None) -> AuditEntry:
    word = problem["type"] if problem else ""
    told = _told(operation)
    return audit.row(
        Action.OPERATION_END, target_of(operation), result=verdict, problem=word, by=audit.SYSTEM, **told
    )


def target_of(operation: Operation) -> audit.Target:
    return audit.Target(operation.target_type, operation.target_id or "", operation.target_name)


def _told(operation: Operation) -> dict[str, Any]:
    """Never the arguments: a definition holds passwords."""
    detail = {"operation": str(operation.pk), "verb": operation.verb, "host": operation.host_name}
    if operation.parent_id:
        detail["parent"] = str(operation.parent_id)
    return {"actor": audit.Actor(operation.actor_id, operation.actor_name), "detail": detail}
