"""An operation as the server sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from virshmanagerd import clock

if TYPE_CHECKING:
    from virshmanagerd.journal import Entry, Json


class Document(TypedDict):
    """``progress`` in per cent, None when it is not known; ``age`` in seconds since it was received here."""

    id: str
    journal_id: str
    verb: str
    target: Json
    state: str
    progress: int | None
    result: Json
    problem: Json | None
    age: float


def document(entry: Entry, journal_id: str, progress: int | None = None) -> Document:
    """Describe an operation."""
    return Document(
        id=entry.id,
        journal_id=journal_id,
        verb=entry.verb,
        target=entry.target,
        state=entry.state,
        progress=progress,
        result=entry.result,
        problem=entry.problem,
        age=round(max(0.0, clock.now() - entry.received), 3),
    )
