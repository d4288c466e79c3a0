"""`GET /v1/domains` and what hangs below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from virshmanagerd.handlers.driven import asks_driver
from virshmanagerd.web import Problem, Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon
    from virshmanagerd.driver import Which

WHICH: Final[dict[str | None, Which | None]] = {None: None, "live": "live", "inactive": "inactive"}


@asks_driver
def list_domains(daemon: Daemon, _request: Request) -> Response:
    """All domains in one answer."""
    return json_response(daemon.driver.domains())


@asks_driver
def get_domain(daemon: Daemon, request: Request) -> Response:
    """One domain with its devices."""
    return json_response(daemon.driver.domain(request.params["uuid"]))


@asks_driver
def get_xml(daemon: Daemon, request: Request) -> Response:
    """The domain's XML: `?which=live` or `inactive`, else what fits its state."""
    which = request.query.get("which")
    if which not in WHICH:
        raise Problem("bad_request", 400, "which must be live or inactive")
    text = daemon.driver.xml(request.params["uuid"], WHICH[which])
    return Response(200, text.encode("utf-8", "replace"), "application/xml")


@asks_driver
def get_screenshot(daemon: Daemon, request: Request) -> Response:
    """The domain's first screen."""
    return Response(200, daemon.driver.screenshot(request.params["uuid"]), "image/png")
