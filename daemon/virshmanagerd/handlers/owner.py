"""The end of an ownership, as the owner wants it. Root on the host has ``virshmanagerd reset`` for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virshmanagerd.web import Problem, Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon


def forget(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/owner/forget``: belong to nobody from now on.

    Raises:
        Problem: ``not_owned`` when the state has changed meanwhile.
    """
    if not daemon.forget_owner(request.peer):
        raise Problem("not_owned", 403, "The state of the host has changed: connect again.")
    return json_response({"state": daemon.ownership.state})
