"""`GET /v1/stats`: libvirt's statistics of all domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virshmanagerd.handlers.driven import asks_driver
from virshmanagerd.web import Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon


@asks_driver
def get_stats(daemon: Daemon, _request: Request) -> Response:
    """Counters as libvirt names them, for each domain."""
    return json_response({"domains": daemon.driver.stats()})
