"""`/v1/operations`: changes to the hypervisor. They are taken here; libvirt is never waited for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from virshmanagerd.journal import OPEN, JournalUnwritable
from virshmanagerd.web import Problem, Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.operations import Document

Handler = Callable[["Daemon", Request], Response]

MOST_IDS: Final = 500


def _uses_journal(handler: Handler) -> Handler:
    """Answer 507 when the journal cannot be used: nothing was done then."""

    @functools.wraps(handler)
    def answer(daemon: Daemon, request: Request) -> Response:
        try:
            return handler(daemon, request)
        except JournalUnwritable as error:
            raise Problem("journal_unwritable", 507, f"{error}.") from None

    return answer


@_uses_journal
def put_operation(daemon: Daemon, request: Request) -> Response:
    """Take an operation, or tell what has become of it."""
    return _answer(daemon.operations.put(request.params["id"], request.json(), request.arrived))


@_uses_journal
def get_operation(daemon: Daemon, request: Request) -> Response:
    """Tell what has become of an operation."""
    return json_response(daemon.operations.get(request.params["id"]))


@_uses_journal
def cancel_operation(daemon: Daemon, request: Request) -> Response:
    """End an operation, if that is possible."""
    return _answer(daemon.operations.cancel(request.params["id"]))


@_uses_journal
def acknowledge_operations(daemon: Daemon, request: Request) -> Response:
    """Hear which verdicts are stored, and need be kept no longer than a week."""
    ids = request.json().get("ids")
    if not isinstance(ids, list) or len(ids) > MOST_IDS or not all(isinstance(name, str) for name in ids):
        raise Problem("bad_request", 400, f"ids must be a list of at most {MOST_IDS} texts.")
    return json_response({"acknowledged": daemon.operations.acknowledge(ids)})


def _answer(document: Document) -> Response:
    return json_response(document, 202 if document["state"] in OPEN else 200)
