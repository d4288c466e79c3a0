"""One HTTPS call to a peer that has proved nothing yet, under one deadline.

`requests` has no total deadline, and a session that skips verification once may skip it again
(CVE-2024-35195). So strangers are met on the standard library alone: one connection, one answer, no redirect,
no proxy, nothing from the environment.
"""

import asyncio
import contextlib
import http.client
import io
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

MAX_ANSWER: Final = 4096
CONNECT_TIMEOUT: Final = 2.0

Reason = Literal[
    "owned_by_another",
    "demands_certificate",
    "not_tls",
    "not_virshmanager",
    "identity_mismatch",
    "too_slow",
    "too_large",
    "refused",
    "unreachable",
]


class StrangerError(Exception):
    """The peer gave no answer that could be used; `reason` is the stable word for it."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason)


class CertificateDemanded(Exception):
    """The peer broke off after the handshake: it wants a certificate, or another one."""


@dataclass(frozen=True)
class Answer:
    """What came back. `certificate` is of the handshake, in DER; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    certificate: bytes

    @property
    def clock_skew(self) -> int | None:
        """By how many seconds the peer's clock is ahead of ours; None when it sent no date that there is."""
        try:
            told = parsedate_to_datetime(self.headers.get("date", ""))
        except (ValueError, OverflowError):
            return None
        return round((told.replace(tzinfo=told.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


async def call(
    ip: str,
    port: int,
    context: ssl.SSLContext,
    request: bytes,
    *,
    limit: int = MAX_ANSWER,
    admit: Callable[[bytes], None] = lambda _certificate: None,
) -> Answer:
    """Send one request and read one answer of at most `limit` bytes, head and body together.

    The caller sets the deadline around it (`asyncio.timeout`): nothing here waits on its own clock. `admit`
    is given the certificate of the handshake before anything is sent, and may raise.

    Raises:
        StrangerError: no connection, no TLS 1.3, no HTTP, or too much of it.
        CertificateDemanded: the handshake ended well, and then the peer refused our certificate or its lack.
    """
    reader, writer = await _connect(ip, port, context, limit)
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        admit(certificate)
        writer.write(request)
        head, body = await _read(reader, limit)
    finally:
        # Nobody waits for the farewell of a stranger.
        writer.transport.abort()
    status, headers = _parse(head)
    return Answer(status, headers, body, certificate)


def request(method: str, path: str, ip: str, body: bytes = b"") -> bytes:
    """Render an HTTP/1.1 request that asks for one plain answer."""
    host = f"[{ip}]" if ":" in ip else ip
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        "Accept: application/json, application/problem+json",
        "Accept-Encoding: identity",
        "Connection: close",
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _connect(
    ip: str, port: int, context: ssl.SSLContext, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = await _dial(ip, port)
    try:
        return await asyncio.open_connection(sock=connection, ssl=context, server_hostname="", limit=limit)
    except ssl.SSLError as error:
        raise StrangerError(_handshake_reason(error)) from None
    except OSError:
        # Closed or reset in the handshake: whatever it speaks, it is not TLS.
        raise StrangerError("not_tls") from None
    except BaseException:
        # The transport owns the socket, and may close it a turn later. Were it closed here, its number could
        # be another connection's before the loop has forgotten it: so it is only made useless.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        raise


async def _dial(ip: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    # asyncio turns Nagle's algorithm off (40 ms a call) only for sockets that name their protocol.
    connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    connection.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await asyncio.get_running_loop().sock_connect(connection, (ip, port))
    except BaseException as error:
        connection.close()
        if isinstance(error, ConnectionRefusedError):
            raise StrangerError("refused") from None
        if isinstance(error, OSError):
            raise StrangerError("unreachable") from None
        raise
    return connection


def _handshake_reason(error: ssl.SSLError) -> Reason:
    if "ALERT" in (error.reason or "") or error.reason == "UNSUPPORTED_PROTOCOL":
        return "not_virshmanager"
    return "not_tls"


async def _read(reader: asyncio.StreamReader, limit: int) -> tuple[bytes, bytes]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await _read_body(reader, head, limit - len(head))
    except asyncio.LimitOverrunError:
        raise StrangerError("too_large") from None
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise CertificateDemanded from None
        raise StrangerError("not_virshmanager") from None
    except (ssl.SSLError, ConnectionError):
        raise CertificateDemanded from None
    except TimeoutError:
        raise
    except OSError:
        raise StrangerError("unreachable") from None
    return head, body


async def _read_body(reader: asyncio.StreamReader, head: bytes, room: int) -> bytes:
    """Read as much as the head announces; without an announcement, until the peer closes."""
    _, headers = _parse(head)
    if headers.get("content-encoding", "identity") != "identity" or "transfer-encoding" in headers:
        raise StrangerError("not_virshmanager")
    length = headers.get("content-length")
    if length is None:
        body = b""
        while len(body) <= room and (more := await reader.read(room + 1)):
            body += more
        if len(body) > room:
            raise StrangerError("too_large")
        return body
    if not length.isascii() or not length.isdecimal():
        raise StrangerError("not_virshmanager")
    if len(length) > 10 or int(length) > room:  # noqa: PLR2004 -- more digits than any size that is read
        raise StrangerError("too_large")
    return await reader.readexactly(int(length))


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    version, _, rest = head.partition(b" ")
    line, _, fields = rest.partition(b"\r\n")
    if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not line[:3].isdigit():
        raise StrangerError("not_virshmanager")
    with contextlib.suppress(http.client.HTTPException):
        parsed = http.client.parse_headers(io.BytesIO(fields))
        return int(line[:3]), {name.lower(): value for name, value in parsed.items()}
    raise StrangerError("not_virshmanager")
