"""The WSGI application of one daemon: from an environ to an answer.

The peer comes in ``environ["virshmanagerd.peer"]``: only the engine that ended TLS can name it.
"""

from __future__ import annotations

import http
import logging
import urllib.parse
from typing import TYPE_CHECKING, Any

from virshmanagerd import routes, websocket
from virshmanagerd.routes import Access
from virshmanagerd.web import (
    ARRIVED,
    PEER,
    STREAM,
    SWITCHING,
    Peer,
    Problem,
    Request,
    Response,
    state_has_changed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from virshmanagerd.daemon import Daemon

logger = logging.getLogger(__name__)

MAX_QUERY_FIELDS = 16


class Application:
    """Routes, authorises and answers the requests to one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer one request (PEP 3333). A stream comes in ``environ["virshmanagerd.stream"]`` with a 101."""
        response = self._respond(environ)
        status = f"{response.status} {http.HTTPStatus(response.status).phrase}"
        start_response(status, list(_headers(response).items()))
        return [response.body]

    def _respond(self, environ: dict[str, Any]) -> Response:
        try:
            return self._dispatch(environ)
        except Problem as problem:
            return problem.response()
        except Exception:  # a defect in one handler is an answer, not the end of the daemon
            logger.exception("%s %r failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return Problem("internal_error", 500, "The daemon's log says more.").response()

    def _dispatch(self, environ: dict[str, Any]) -> Response:
        route, params = routes.match(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        peer: Peer = environ[PEER]
        authorise(self._daemon, route.access, peer)
        switch = websocket.accept(environ) if route.stream else {}
        query, body = _query(environ), _body(environ)
        request = Request(route.method, environ["PATH_INFO"], params, query, body, peer, environ[ARRIVED])
        answer = route.handler(self._daemon, request)
        if isinstance(answer, Response):
            return answer
        environ[STREAM] = answer
        return Response(SWITCHING, headers=switch)


def authorise(daemon: Daemon, access: Access, peer: Peer) -> None:
    """Refuse a peer that may not call a route, by its connection's certificate and the state of now.

    Raises:
        Problem: 403 ``not_owned``, or 401 ``server_not_proven``.
    """
    if peer.generation != daemon.trust.generation:
        raise state_has_changed()
    if access is Access.STRANGER or daemon.is_owner(peer):
        return
    if access is Access.OWNER:
        raise Problem("not_owned", 403)
    if daemon.enrolment_of(peer) is None:
        raise Problem("server_not_proven", 401)


def _headers(response: Response) -> Mapping[str, str]:
    if response.status == SWITCHING:
        return response.headers
    return {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **response.headers,
    }


def _query(environ: dict[str, Any]) -> dict[str, str]:
    try:
        return dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", ""), max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:
        raise Problem("bad_request", 400, "The query has too many fields.") from None


def _body(environ: dict[str, Any]) -> bytes:
    body: Any = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return bytes(body)
