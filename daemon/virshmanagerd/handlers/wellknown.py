"""What the daemon tells a stranger: that it is one, which, and how it may be enrolled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virshmanagerd.web import Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon

API_VERSIONS = ["1"]


def get_identity(daemon: Daemon, _request: Request) -> Response:
    """``GET /.well-known/virshmanager``: the identity, and nothing else."""
    key = daemon.usable_join_key()
    return json_response(
        {
            "product": "virshmanager",
            "api": API_VERSIONS,
            "id": daemon.identity.id,
            "state": daemon.ownership.state,
            "enrol": [{"method": "join", "key_id": key.key_id}] if key else [],
        }
    )
