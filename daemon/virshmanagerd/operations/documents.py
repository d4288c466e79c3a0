"""An operation as the server sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypedDict

from virshmanagerd import clock

if TYPE_CHECKING:
    from virshmanagerd.journal import Entry, Json

# For so long after the verdict the domain is told as it was then.
FRESH_SECONDS: Final = 2.0


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
    """Describe an operation. Its verdict may come meanwhile: the state is read before what comes with it."""
    return Document(
        id=entry.id,
        journal_id=journal_id,
        verb=entry.verb,
        target=entry.target,
        state=entry.state,
        progress=progress,
        result=_result(entry),
        problem=entry.problem,
        age=round(max(0.0, clock.now() - entry.received), 3),
    )


def _result(entry: Entry) -> Json:
    """What is told with the verdict. A domain as it was long ago would be taken for how it is."""
    result = dict(entry.result)
    if "domain" in result and entry.ended_at is not None:
        fresh = 0 <= time.time() - entry.ended_at < FRESH_SECONDS
        result["domain"] = result["domain"] if fresh else None
    return result
