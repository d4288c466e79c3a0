"""HTTP on one connection, without input and output: bytes in, requests out, answers in, bytes out.

The parser is h11's. What the daemon does not need is refused: chunked bodies, expectations, pipelining.
"""

from __future__ import annotations

import email.utils
import http
import io
import sys
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h11

from virshmanagerd import clock
from virshmanagerd.web import ARRIVED, PEER, STREAM, Peer, Problem, Response

if TYPE_CHECKING:
    from virshmanagerd.streams import Stream

MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 4 * 1024
MAX_BODY_BYTES = 64 * 1024
# The XML of a domain (512 KiB) as JSON, where a character may take three times its bytes.
PROVEN_BODY_BYTES = 2 * 1024 * 1024

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class RawRequest:
    """One complete request as it came, and when (``clock``)."""

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes
    arrived: float = field(default_factory=clock.now)

    def environ(self, peer: Peer) -> dict[str, Any]:
        """Return the request as WSGI has it (PEP 3333)."""
        path, _, query = self.target.partition("?")
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(self.body)),
            "SERVER_PROTOCOL": f"HTTP/{self.version}",
            "SERVER_NAME": "",
            "SERVER_PORT": "",
            "REMOTE_ADDR": peer.address,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            PEER: peer,
            ARRIVED: self.arrived,
        }
        for name, value in self.headers:
            environ.setdefault(f"HTTP_{name.upper().replace('-', '_')}", value)
        return environ


@dataclass(frozen=True)
class Answer:
    """An answer as WSGI gives it; with ``stream`` (and status 101) the connection becomes a WebSocket."""

    status: int
    headers: Headers
    body: bytes
    stream: Stream | None = None


def answer_of(application: Any, environ: dict[str, Any]) -> Answer:
    """Call a WSGI application, and collect its whole answer."""
    started: list[tuple[str, Headers]] = []

    def start_response(status: str, headers: Headers) -> None:
        started.append((status, headers))

    body = b"".join(application(environ, start_response))
    status, headers = started[-1]
    return Answer(int(status.split(" ", 1)[0]), headers, body, environ.get(STREAM))


def answer_from(response: Response) -> Answer:
    """Return an answer that no application was asked for."""
    headers = {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Cache-Control": "no-store",
        **response.headers,
    }
    return Answer(response.status, list(headers.items()), response.body)


class Exchange:
    """Requests and answers of one connection, in turn. A body has at most ``most`` bytes."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self.most = MAX_BODY_BYTES

    def feed(self, data: bytes) -> None:
        """Take bytes from the client; there must be some."""
        self._http.receive_data(data)

    @property
    def headers_complete(self) -> bool:
        """Say whether the request that is being read lacks its body only."""
        return self._head is not None

    def next_request(self) -> RawRequest | None:
        """Return the request when it is complete, or None when more bytes are needed.

        Raises:
            Problem: when the request is refused; the connection can take one answer, and no more.
        """
        try:
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    return None
                if isinstance(event, h11.Request):
                    self._head = event
                    _refuse_head(event, self.most)
                elif isinstance(event, h11.Data):
                    self._take_body(event.data)
                else:
                    return self._complete()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == http.HTTPStatus.NOT_IMPLEMENTED:  # any other Transfer-Encoding
                raise _without_length() from None
            raise Problem("bad_request", error.error_status_hint, f"{error}.") from None

    def _take_body(self, data: bytes | bytearray) -> None:
        self._body += data
        if len(self._body) > self.most:
            raise _too_large(self.most)

    def _complete(self) -> RawRequest:
        if self._head is None or self._http.trailing_data[0]:
            raise Problem("bad_request", 400, "One request at a time: wait for the answer.")
        return RawRequest(
            method=self._head.method.decode("ascii"),
            target=self._head.target.decode("ascii"),
            version=self._head.http_version.decode("ascii"),
            headers=[(name.decode("ascii"), value.decode("latin-1")) for name, value in self._head.headers],
            body=bytes(self._body),
        )

    def encode(self, answer: Answer, *, close: bool) -> bytes:
        """Return the bytes of an answer; with ``close`` it says that it is the last."""
        headers = [
            *answer.headers,
            ("Server", "virshmanagerd"),
            ("Date", email.utils.formatdate(usegmt=True)),
        ]
        if close:
            headers.append(("Connection", "close"))
        parts = [self._http.send(h11.Response(status_code=answer.status, headers=headers))]
        if self._head is None or self._head.method != b"HEAD":
            parts.append(self._http.send(h11.Data(data=answer.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)

    def switch(self, answer: Answer) -> bytes:
        """Return the bytes of an answer after which the connection speaks no HTTP any more."""
        reason = http.HTTPStatus(answer.status).phrase.encode()
        response = h11.InformationalResponse(status_code=answer.status, headers=answer.headers, reason=reason)
        return self._http.send(response) or b""

    def start_next(self) -> bool:
        """Make ready for the next request. False when this connection takes no more."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._head = None
        self._body.clear()
        return True


def _refuse_head(head: h11.Request, most: int) -> None:
    if len(head.target) > MAX_TARGET_BYTES:
        raise Problem("bad_request", 414, f"The path has more than {MAX_TARGET_BYTES} bytes.")
    if not head.target.startswith(b"/"):
        raise Problem("bad_request", 400, "The request's target is no path.")
    if sum(len(name) + len(value) for name, value in head.headers) > MAX_HEADER_BYTES:
        raise Problem("bad_request", 431, f"The headers have more than {MAX_HEADER_BYTES} bytes.")
    for name, value in head.headers:
        if name == b"transfer-encoding":
            raise _without_length()
        if name == b"expect":
            raise Problem("bad_request", 417, "Send the body at once.")
        if name == b"content-length" and int(value) > most:
            raise _too_large(most)


def _without_length() -> Problem:
    return Problem("bad_request", 411, "Send the body with its length, not in chunks.")


def _too_large(most: int) -> Problem:
    return Problem("payload_too_large", 413, f"The body has more than {most} bytes.")
