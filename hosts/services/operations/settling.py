"""Settling an operation: the one way by which what a daemon says becomes the state of a row."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from ... import faults
from ...choices import OperationState
from ...errors import BadPayload, sentence
from ...models import Operation
from ...payloads import OperationDocument, Problem, operation_document
from ...signals import domain_gone, domain_reported
from .bulk import child_ended
from .moves import announce, move

S = OperationState
STATES: Final[Mapping[str, OperationState]] = {
    "received": S.SENT,
    "started": S.RUNNING,
    "done": S.SUCCEEDED,
    "failed": S.FAILED,
    "expired": S.EXPIRED,
    "cancelled": S.CANCELLED,
    "unknown": S.UNKNOWN,
}


def settle(operation: Operation, document: OperationDocument) -> bool:
    """Move an operation to where its daemon says it is; return whether it moved. Never backwards.

    The domain that comes with a verdict is mirrored in the same transaction.
    """
    state = STATES[document["state"]]
    known: dict[str, Any] = {
        "sent_at": operation.sent_at or timezone.now(),
        "journal_id": document["journal_id"] or operation.journal_id,
        "progress": document["progress"],
    }
    with transaction.atomic(savepoint=False):
        if state in (S.SENT, S.RUNNING):
            return move(operation, state, **known) or _progressed(operation, document["progress"])
        problem = document["problem"] if state != S.SUCCEEDED else None
        if not end(operation, state, problem=problem, result=_result(document), **known):
            return False
        _report(operation, document)
        faults.at("settled")
    return True


def end(
    operation: Operation,
    state: OperationState,
    *,
    problem: Problem | None = None,
    where: Q = Q(),  # noqa: B008 -- Q() is never changed
    **fields: Any,
) -> bool:
    """Give an operation its verdict, if it has none and is as `where` says; return whether it got it."""
    detail = problem["detail"] if problem else ""
    ended = move(operation, state, detail=detail, where=where, problem=problem, **fields)
    if ended and operation.parent_id:
        transaction.on_commit(partial(child_ended, operation.parent_id))
    return ended


def problem(word: str, **values: object) -> Problem:
    """The problem of a verdict that the server gives."""
    return Problem(type=word, detail=sentence(word, **values))


def settle_report(host_id: int, document: Mapping[str, Any]) -> bool:
    """Settle what a host reports of an operation by itself; return whether something moved.

    A host speaks of its own operations alone: what is no document, or of an operation that was never given to
    it, is not heard.
    """
    try:
        checked = operation_document(document)
    except BadPayload:
        return False
    given = Operation.objects.filter(pk=checked["id"], host=host_id, sent_at__isnull=False)
    operation = given.first()
    return operation is not None and settle(operation, checked)


def _progressed(operation: Operation, per_cent: int | None) -> bool:
    """Show how far a running operation is; it never runs backwards."""
    if per_cent is None:
        return False
    behind = Q(progress=None) | Q(progress__lt=per_cent)
    rows = Operation.objects.filter(behind, pk=operation.pk, state=S.RUNNING)
    if changed := bool(rows.update(progress=per_cent)):
        announce([operation])
    return changed


def _result(document: OperationDocument) -> dict[str, Any]:
    domain, made = document["domain"], document["uuid"]
    result: dict[str, Any] = {}
    if domain is not None:
        result["state"] = domain["state"]
    if made is not None:
        result |= {"uuid": str(made), "xml_hash": document["xml_hash"]}
    return result


def _report(operation: Operation, document: OperationDocument) -> None:
    """Let the mirror know what became of the domain: no page waits for the next listing."""
    domain, host_id = document["domain"], operation.host_id
    if host_id is None:
        return
    if domain is not None and domain["uuid"] in {operation.target_uuid, document["uuid"]}:
        domain_reported.send(sender=Operation, host_id=host_id, domains=[domain])
    elif operation.verb == "undefine" and document["state"] == "done":
        domain_gone.send(sender=Operation, host_id=host_id, uuids=[operation.target_uuid])
