"""`GET /v1/domains/{uuid}/console/serial` and `/vnc`: streams of a domain's consoles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from virshmanagerd.consoles import Mode
from virshmanagerd.handlers.driven import asks_driver
from virshmanagerd.web import Problem, Request

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.streams import Stream


@asks_driver
def open_serial(daemon: Daemon, request: Request) -> Stream:
    """The serial console: `?mode=ask`, `view` or `take`."""
    return daemon.consoles.serial(request.params["uuid"], _mode(request))


@asks_driver
def open_vnc(daemon: Daemon, request: Request) -> Stream:
    """The screen, likewise."""
    return daemon.consoles.vnc(request.params["uuid"], _mode(request))


def _mode(request: Request) -> Mode:
    try:
        return Mode(request.query.get("mode", Mode.ASK.value))
    except ValueError:
        raise Problem("bad_request", 400, "mode must be ask, view or take") from None
