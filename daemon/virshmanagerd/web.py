"""What a handler takes and gives: requests, responses, and problems (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from virshmanagerd import clock
from virshmanagerd.text import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from virshmanagerd.certificates import PeerCertificate


PEER = "virshmanagerd.peer"  # where a WSGI environ carries the Peer
ARRIVED = "virshmanagerd.arrived"  # and when the request was complete
STREAM = "virshmanagerd.stream"  # where an application that answers 101 leaves the Stream
SWITCHING = 101


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of a connection.

    ``certificate`` is the client certificate that TLS has verified against the authorities of the moment, or
    None for a stranger. ``generation`` is the daemon's trust generation when the handshake began:
    a peer of an older generation is nobody. ``connection`` names the connection in this process.
    """

    address: str
    certificate: PeerCertificate | None = None
    generation: int = 0
    connection: int = 0


@dataclass(frozen=True)
class Request:
    """One complete request. ``params`` come from the route's pattern, ``query`` from the URL.

    ``arrived`` is the moment of ``clock`` at which all of it was there: it may wait for a thread after that.
    """

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    peer: Peer
    arrived: float = field(default_factory=clock.now)

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            Problem: 400 ``bad_request`` when the body is not one JSON object.
        """
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Problem("bad_request", 400, "The body is not JSON.") from None
        if not isinstance(value, dict):
            raise Problem("bad_request", 400, "The body is not a JSON object.")
        return value


@dataclass(frozen=True)
class Response:
    """One complete answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(obj: object, status: int = 200) -> Response:
    """Answer with ``obj`` as JSON."""
    return Response(status, to_json(obj).encode(), "application/json")


TITLES: Mapping[str, str] = {
    "already_owned": "The host is owned already",
    "bad_certificate": "The certificate cannot be used",
    "bad_operation": "The operation is not described as it must be",
    "bad_proof": "The proof is wrong",
    "bad_request": "The request cannot be understood",
    "code_expired": "The adopt code has expired",
    "console_busy": "Another program uses the console",
    "guest_did_not_stop": "The guest did not shut down in time",
    "hypervisor_busy": "The hypervisor did not answer in time",
    "internal_error": "The daemon failed",
    "invalid_xml": "The XML is not valid",
    "join_key_expired": "The join key has expired",
    "join_key_unknown": "The join key is unknown",
    "journal_changed": "This is not the journal that was meant",
    "journal_unwritable": "The journal of operations cannot be written",
    "libvirt_down": "libvirt does not answer",
    "method_not_allowed": "The method is not allowed here",
    "no_serial_device": "The domain has no serial console",
    "no_such_domain": "There is no such domain",
    "no_such_operation": "There is no such operation",
    "no_vnc_device": "The domain has no VNC display",
    "not_cancellable": "The operation cannot be cancelled any more",
    "not_found": "There is nothing here",
    "not_owned": "Only the owner of the host may do this",
    "not_supported": "The hypervisor does not support this",
    "operation_differs": "Another operation has this id",
    "payload_too_large": "The request is too large",
    "queue_full": "The daemon is busy",
    "server_not_proven": "The server has not proven itself",
    "too_many_attempts": "Too many attempts",
    "upgrade_required": "The connection must become a WebSocket",
    "wrong_state": "The state does not allow this",
    "xml_changed": "The XML has changed",
}


class Problem(Exception):
    """A refusal: a stable word, an HTTP status, and a sentence for a person.

    ``type`` is one of the words in ``TITLES``; ``detail`` may differ from one occurrence to the next.
    """

    def __init__(
        self, word: str, status: int, detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(word, status, detail)
        self.type = word
        self.status = status
        self.title = TITLES[word]
        self.detail = detail
        self.headers = dict(headers or {})

    def document(self) -> dict[str, object]:
        """Return the problem as JSON can say it."""
        return {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail}

    def response(self) -> Response:
        """Return the problem as ``application/problem+json``."""
        body = json.dumps(self.document()).encode()
        return Response(self.status, body, "application/problem+json", self.headers)


def state_has_changed() -> Problem:
    """Return the refusal of who was let in by a state of the host that is over."""
    return Problem("not_owned", 403, "The state of the host has changed: connect again.")
