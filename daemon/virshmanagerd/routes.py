"""The REST contract on one screen: every route, its handler, and who may call it."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from virshmanagerd.daemon import Daemon
from virshmanagerd.handlers import (
    adopt,
    consoles,
    domains,
    enrol,
    events,
    host,
    operations,
    owner,
    pki,
    stats,
    wellknown,
)
from virshmanagerd.streams import Stream
from virshmanagerd.web import Problem, Request, Response

Handler = Callable[[Daemon, Request], "Response | Stream"]


class Access(enum.Enum):
    """Who may call a route."""

    STRANGER = "anyone who can reach the port"
    PROVER = "the server whose proof is running (by code: whoever proves it in the request), or the owner"
    OWNER = "the owner's server"


@dataclass(frozen=True)
class Route:
    """One method on one path. ``{name}`` in the pattern matches one segment.

    The handler of a ``stream`` returns what to do with the WebSocket that the connection becomes. Who may
    open it, and whether that can be, is answered before, as for every request.
    """

    method: str
    pattern: str
    handler: Handler
    access: Access
    stream: bool = False
    regex: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access):
            raise TypeError(f"{self.method} {self.pattern} does not declare who may call it")
        source = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(self.pattern))
        object.__setattr__(self, "regex", re.compile(source))


ROUTES: tuple[Route, ...] = (
    Route("GET", "/.well-known/virshmanager", wellknown.get_identity, Access.STRANGER),
    Route("POST", "/v1/enrol/join", enrol.join, Access.STRANGER),
    Route("POST", "/v1/enrol/code/start", adopt.start, Access.STRANGER),
    Route("POST", "/v1/enrol/code/prove", adopt.prove, Access.STRANGER),
    Route("POST", "/v1/enrol/finish", enrol.finish, Access.PROVER),
    Route("POST", "/v1/pki/csr", pki.make_request, Access.OWNER),
    Route("PUT", "/v1/pki/certificate", pki.put_certificate, Access.OWNER),
    Route("PUT", "/v1/pki/ca", pki.put_authorities, Access.OWNER),
    Route("POST", "/v1/owner/forget", owner.forget, Access.OWNER),
    Route("GET", "/v1/host", host.get_host, Access.OWNER),
    Route("GET", "/v1/domains", domains.list_domains, Access.OWNER),
    Route("GET", "/v1/domains/{uuid}", domains.get_domain, Access.OWNER),
    Route("GET", "/v1/domains/{uuid}/xml", domains.get_xml, Access.OWNER),
    Route("GET", "/v1/domains/{uuid}/screenshot", domains.get_screenshot, Access.OWNER),
    Route("GET", "/v1/domains/{uuid}/console/serial", consoles.open_serial, Access.OWNER, stream=True),
    Route("GET", "/v1/domains/{uuid}/console/vnc", consoles.open_vnc, Access.OWNER, stream=True),
    Route("GET", "/v1/stats", stats.get_stats, Access.OWNER),
    Route("GET", "/v1/events", events.open_events, Access.OWNER, stream=True),
    Route("PUT", "/v1/operations/{id}", operations.put_operation, Access.OWNER),
    Route("GET", "/v1/operations/{id}", operations.get_operation, Access.OWNER),
    Route("POST", "/v1/operations/{id}/cancel", operations.cancel_operation, Access.OWNER),
    Route("POST", "/v1/operations/acknowledge", operations.acknowledge_operations, Access.OWNER),
)


def match(method: str, path: str, routes: tuple[Route, ...] = ROUTES) -> tuple[Route, dict[str, str]]:
    """Find the route of a request, and the values of its path's parameters.

    Raises:
        Problem: 404 ``not_found``, or 405 ``method_not_allowed`` with ``Allow``.
    """
    allowed: list[str] = []
    for route in routes:
        found = route.regex.fullmatch(path)
        if found and route.method == method:
            return route, found.groupdict()
        if found:
            allowed.append(route.method)
    if allowed:
        raise Problem("method_not_allowed", 405, "", {"Allow": ", ".join(allowed)})
    raise Problem("not_found", 404)
