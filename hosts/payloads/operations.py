"""What a daemon tells of an operation: how far it has come, or its verdict."""

import re
import uuid
from typing import Any, Final, TypedDict

from ..errors import BadPayload
from ..untrusted import a_text, a_uuid, an_integer, an_object
from .domains import DomainFacts, domain_facts

OPERATION_STATES: Final = frozenset(
    {"received", "started", "done", "failed", "expired", "cancelled", "unknown"}
)
VERDICTS: Final = OPERATION_STATES - {"received", "started"}
PER_CENT: Final = 100


class Problem(TypedDict):
    """Why a verdict is not `done`: a stable word, and what happened in plain words."""

    type: str
    detail: str


class OperationDocument(TypedDict):
    """`PUT`, `GET /v1/operations/{id}` and `operation.changed`.

    `domain` is the row of the domain after a `done`; None when there is none, or it could not be read.
    `uuid` and `xml_hash` are what `define` made; None and "" of other verbs.
    """

    id: uuid.UUID
    journal_id: str
    verb: str
    state: str
    progress: int | None
    problem: Problem | None
    domain: DomainFacts | None
    uuid: uuid.UUID | None
    xml_hash: str


def operation_document(value: object) -> OperationDocument:
    """Check the document of an operation.

    Raises:
        BadPayload: naming the field that is not as the contract says.
    """
    data = an_object(value, "the operation")
    state = data.get("state")
    if not isinstance(state, str) or state not in OPERATION_STATES:
        raise BadPayload("the operation has no known state")
    result = an_object(data.get("result") or {}, "result")
    domain, made = result.get("domain"), result.get("uuid")
    return OperationDocument(
        id=a_uuid(data.get("id"), "id"),
        journal_id=a_text(data, "journal_id", 64),
        verb=a_text(data, "verb", 20),
        state=state,
        progress=an_integer(data, "progress", PER_CENT),
        problem=_problem(data.get("problem")),
        domain=None if domain is None else domain_facts(domain),
        uuid=None if made is None else a_uuid(made, "uuid"),
        xml_hash=a_text(result, "xml_hash", 64),
    )


def _problem(value: Any) -> Problem | None:
    if value is None:
        return None
    data = an_object(value, "problem")
    word = a_text(data, "type", 40)
    if not re.fullmatch("[a-z][a-z_]*", word):
        raise BadPayload("a problem without a type")
    return Problem(type=word, detail=a_text(data, "detail", 500))
