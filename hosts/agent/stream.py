"""WebSockets to one owned host, over mutual TLS: its events, and the consoles of its domains.

The gate of `websockets`. As a call of the Agent does, a stream dials an address and verifies the host's own
name; no proxy, no redirect, no compression, nothing from the environment. All errors are of the tree in
`errors`.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlencode

from channels.db import database_sync_to_async
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from websockets.uri import parse_uri

from .. import guards, trust
from ..errors import (
    AgentError,
    GivenUp,
    OutsideRanges,
    ProtocolError,
    RejectedByHost,
    StreamEnded,
    TimedOut,
    Unreachable,
)
from ..models import Host
from ..trust import keys
from ..untrusted import clean
from .transport import FORGET_UNSENT, refusal, shared_context, translated

KIB: Final = 2**10
# Seconds: TCP and TLS; from there to the daemon's consent; the farewell.
CONNECT: Final = 3.0
UPGRADE: Final = 7.0
FAREWELL: Final = 1.0
# A peer that died without a word is noticed after 18 s.
PING_EVERY: Final = 6.0
PONG_WITHIN: Final = 12.0
# Close codes (RFC 6455, 7.4): of ours when the peer breaks the protocol, and of an end without any.
BROKEN: Final = frozenset({1002, 1003, 1007, 1008, 1009})
NO_FAREWELL: Final = 1006

# A listing may have as much as over HTTP, and comes on the same stream.
EVENT_BYTES: Final = 8 * KIB * KIB
EVENTS_AHEAD: Final = 4
# What a host has us answer, such as pings, and does not read.
MOST_UNREAD: Final = KIB * KIB
# A console is many small frames. As the daemon does, keep at most 256 KiB of it.
CONSOLE_BYTES: Final = 64 * KIB
CONSOLE_FRAMES_AHEAD: Final = 4

ConsoleKind = Literal["serial", "vnc"]
ConsoleMode = Literal["ask", "view", "take"]
Ask = Callable[[Callable[[str], bool], str], Awaitable[bool]]


async def in_a_thread(question: Callable[[str], bool], address: str) -> bool:
    """Ask the database on a connection that is made for it."""
    return await database_sync_to_async(question)(address)


class _Connection(ClientConnection):
    """Remembers when the host last gave a sign of life: a message, a part of one, or a pong.

    Pings are answered without waiting: a host that sends them and reads nothing would fill our memory. And
    who broke the protocol would have as long for his farewell as for a pong.
    """

    heard_at = 0.0
    _broken: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        super().data_received(data)
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.protocol.fail(CloseCode.POLICY_VIOLATION, "it reads nothing")
            self.transport.abort()
        elif self.protocol.parser_exc and not self._broken:
            self._broken = self.loop.call_later(FAREWELL, self.transport.abort)


class Stream:
    """An open WebSocket to a host, of one event loop. At the end of `async with` it is closed."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def heard_at(self) -> float:
        """When the host last gave a sign of life, on the loop's clock."""
        return self._connection.heard_at

    async def receive(self) -> str | bytes:
        """Return the next message: text or binary, as it was sent. What is not taken holds the host back.

        Raises:
            StreamEnded: the host ended the stream, with the `code` and `detail` it gave; 1006 without any.
            TimedOut: the host does not answer pings any more.
            ProtocolError: it broke the protocol, or sent more than a message may have.
        """
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _ended(closed) from closed

    async def send(self, message: str | bytes) -> None:
        """Send one message, text or binary; wait while the host does not take what was sent before.

        Raises:
            AgentError: as `receive`.
        """
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise _ended(closed) from closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the stream; a second more at most is spent on the farewell."""
        await self._connection.close(code, reason)

    def abort(self) -> None:
        """End the stream at once, without a farewell."""
        self._connection.transport.abort()


async def open_events(host: Host, *, after: str = "", ask: Ask = in_a_thread) -> Stream:
    """Open the stream of a host's events, its replay from `after` (`EPOCH:SEQ`, or nothing).

    Who opens a thousand of them has the database asked by `ask`, on a connection that is kept.

    Raises:
        AgentError: when it cannot be opened.
    """
    query = f"?{urlencode({'after': after})}" if after else ""
    return await _open(host, f"/v1/events{query}", EVENT_BYTES, EVENTS_AHEAD, ask)


async def open_console(
    host: Host, domain_id: uuid.UUID, kind: ConsoleKind, mode: ConsoleMode = "ask"
) -> Stream:
    """Open a console of a domain. Binary messages are its raw bytes, text messages the daemon's own words.

    Raises:
        ProblemAnswer: the daemon refuses: `no_such_domain`, `wrong_state`, `no_serial_device` ...
        AgentError: when it cannot be opened.
    """
    path = f"/v1/domains/{domain_id}/console/{kind}?{urlencode({'mode': mode})}"
    return await _open(host, path, CONSOLE_BYTES, CONSOLE_FRAMES_AHEAD)


async def _open(host: Host, path: str, limit: int, ahead: int, ask: Ask = in_a_thread) -> Stream:
    if host.given_up:
        raise GivenUp(host.trust)
    if not await ask(guards.may_dial, host.address):
        raise OutsideRanges
    name = keys.host_name(host.uuid)
    protocol = ClientProtocol(parse_uri(f"wss://{name}:{host.port}{path}"), max_size=limit)
    connection = await _dial(host, name, protocol, ahead)
    try:
        async with asyncio.timeout(UPGRADE):
            await connection.handshake(user_agent_header="virshmanager")
    except TimeoutError as error:
        connection.transport.abort()
        raise (_refused(connection, error) if protocol.handshake_exc else TimedOut()) from None
    except (WebSocketException, OSError) as error:
        connection.transport.abort()
        raise _refused(connection, error) from error
    except BaseException:
        connection.transport.abort()
        raise
    connection.start_keepalive()
    return Stream(connection)


async def _dial(host: Host, name: str, protocol: ClientProtocol, ahead: int) -> _Connection:
    def connection() -> _Connection:
        return _Connection(
            protocol,
            ping_interval=PING_EVERY,
            ping_timeout=PONG_WITHIN,
            close_timeout=FAREWELL,
            max_queue=ahead,
        )

    context = shared_context(trust.server_identity())
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT):
            _, made = await loop.create_connection(
                connection,
                host.address,
                host.port,
                ssl=context,
                server_hostname=name,
                ssl_shutdown_timeout=FAREWELL,
            )
    except TimeoutError:
        raise Unreachable from None
    except OSError as error:
        raise translated(error) from error
    made.transport.get_extra_info("socket").setsockopt(*FORGET_UNSENT)
    return made


def _refused(connection: _Connection, error: Exception) -> AgentError:
    """What it means that the daemon did not consent to the WebSocket."""
    if isinstance(error, InvalidStatus):
        answer = error.response
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type == "application/problem+json":
            return refusal(answer.status_code, bytes(answer.body))
        return ProtocolError(f"status {answer.status_code} of type {media_type[:50]!r}")
    if isinstance(error, InvalidMessage) and isinstance(error.__cause__, EOFError):
        # TLS 1.3 has a certificate refused only after the handshake; the reset may overtake the alert.
        alert = "ALERT" in (getattr(connection.connection_exc, "reason", None) or "")
        return RejectedByHost() if alert or not connection.heard_at else Unreachable()
    return ProtocolError("no WebSocket")


def _ended(closed: ConnectionClosed) -> AgentError:
    if closed.rcvd is not None:
        return StreamEnded(closed.rcvd.code, clean(closed.rcvd.reason, 123))
    if closed.sent is not None and closed.sent.code in BROKEN:
        return ProtocolError(clean(closed.sent.reason, 123) or "no WebSocket")
    if closed.sent is not None and closed.sent.reason == "keepalive ping timeout":
        return TimedOut()
    return StreamEnded(NO_FAREWELL, "")
