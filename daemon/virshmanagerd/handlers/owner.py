"""The end of an ownership, as the owner wants it. Root on the host has ``virshmanagerd reset`` for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virshmanagerd.web import Request, Response, json_response, state_has_changed

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon


def forget(daemon: Daemon, request: Request) -> Response:
    """``POST /v1/owner/forget``: belong to nobody from now on.

    Raises:
        Problem: ``not_owned`` when the state has changed meanwhile.
    """
    if not daemon.forget_owner(request.peer):
        raise state_has_changed()
    return json_response({"state": daemon.ownership.state})
