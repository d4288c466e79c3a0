"""The console of a domain: a WebSocket to the browser, one to the daemon, and bytes between them.

The browser first says `{"ticket": ..., "mode": "ask|view|take"}`; then binary messages are the console's raw
bytes both ways, and text messages are the daemon's `ready` and `viewers`, and `{"type": "beat"}` every 10 s.
What cannot be opened is told in a last one, `{"type": "error", "problem", "detail"}`. Each side is read only
as fast as the other takes it.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from channels.db import database_sync_to_async
from django.db import DatabaseError
from redis.exceptions import RedisError

from access.audit import address_of
from access.errors import LoginEnded
from access.logins import login_of_socket
from access.rounds import Unanswered
from hosts.agent.stream import ConsoleKind, ConsoleMode, Stream, open_console
from hosts.errors import AgentError, ProblemAnswer, RetryLater, StreamEnded

from . import choices, services

logger = logging.getLogger(__name__)

LOGIN_NEEDED: Final = 4401
TICKET_REFUSED: Final = 4403
NOT_OPENED: Final = 4422
NOT_NOW: Final = 4503
SERVICE_RESTART: Final = 1012
# Codes that a browser may be given (RFC 6455, 7.4): the rest it would take for a broken connection.
PASSED_ON: Final = frozenset({1000, 1008, 1011, 1012, 1013})
OWN_CODES: Final = range(4000, 5000)

TICKET_SECONDS: Final = 5.0
FAREWELL_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 10.0
# Of a browser that acknowledges what it has drawn, so much may be under way.
WINDOW: Final = 512 * 1024

Message = dict[str, Any]
Found = TypeVar("Found")


class Ends(Exception):
    """The console ends with this close code, and with this told before it."""

    def __init__(self, code: int, reason: str = "", told: Message | None = None) -> None:
        self.code, self.reason, self.told = code, reason, told
        super().__init__(code)


class Browser:
    """The browser's WebSocket. Raises OSError when it has left."""

    def __init__(
        self, receive: Callable[[], Awaitable[Any]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._receive, self._send = receive, send
        self._acknowledges = False
        self._under_way = 0
        self._room = asyncio.Event()

    async def accept(self) -> None:
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def hello(self) -> tuple[str, ConsoleMode]:
        """Return the ticket and the mode of its first message."""
        try:
            async with asyncio.timeout(TICKET_SECONDS):
                said = _object(await self.receive())
        except TimeoutError:
            said = {}
        ticket, mode = said.get("ticket"), said.get("mode", "ask")
        if not isinstance(ticket, str) or mode not in choices.ConsoleMode.values:
            raise Ends(TICKET_REFUSED)
        self._acknowledges = said.get("acknowledges") is True
        return ticket, cast("ConsoleMode", mode)

    async def receive(self) -> str | bytes:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionResetError
        data: bytes | None = message.get("bytes")
        return message["text"] if data is None else data

    async def tell(self, message: str | bytes) -> None:
        """Send one message, after the browser has taken what was sent before."""
        if isinstance(message, str):
            await self._send({"type": "websocket.send", "text": message})
            return
        while self._acknowledges and self._under_way > WINDOW:
            self._room.clear()
            await self._room.wait()
        self._under_way += len(message)
        await self._send({"type": "websocket.send", "bytes": message})

    def acknowledged(self, size: int) -> None:
        """Note that it has drawn so many bytes more."""
        self._under_way = max(0, self._under_way - size)
        self._room.set()

    async def close(self, end: Ends) -> None:
        """Say farewell. To one that does not read it is not said: uvicorn just closes, when we return."""
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                if end.told:
                    await self._send({"type": "websocket.send", "text": json.dumps(end.told)})
                await self._send({"type": "websocket.close", "code": end.code, "reason": end.reason})
        except (TimeoutError, OSError):
            pass


async def console(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application at `/ws/console/`."""
    browser = Browser(receive, send)
    await browser.accept()
    try:
        await _serve(scope, browser)
    except Ends as end:
        await browser.close(end)
    except (RedisError, DatabaseError) as error:
        logger.warning("A console ended without Redis or the database: %s", error)
        await browser.close(Ends(SERVICE_RESTART))
    except OSError:
        pass  # the browser left


async def _serve(scope: Any, browser: Browser) -> None:
    ticket, mode = await browser.hello()
    login = await database_sync_to_async(login_of_socket)(scope)
    source = address_of((scope.get("client") or [""])[0])
    try:
        admitted = await database_sync_to_async(services.admit_to_console)(ticket, login=login, source=source)
    except LoginEnded:
        raise Ends(LOGIN_NEEDED) from None
    if admitted is None:
        raise Ends(TICKET_REFUSED)
    domain = admitted.domain
    if not admitted.may_type:
        mode = "view"
    try:
        stream = await open_console(domain.host, domain.uuid, cast("ConsoleKind", admitted.kind), mode)
    except AgentError as error:
        raise _refusal(error) from error
    async with stream:
        allowed = _while_allowed(services.Seat(login, domain.pk, types=mode != "view"))
        await _first_end_of(_upwards(browser, stream), _downwards(browser, stream), allowed, _beat(browser))


async def _first_end_of(*ways: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, as each does by an exception, and end the others."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await next(iter(done))


async def _upwards(browser: Browser, stream: Stream) -> None:
    """What the browser types; no more is read than the daemon takes."""
    while True:
        said = await browser.receive()
        if isinstance(said, bytes):
            await _on_the_stream(stream.send(said))
        elif isinstance(size := _object(said).get("acknowledged"), int):
            browser.acknowledged(size)


async def _downwards(browser: Browser, stream: Stream) -> None:
    """What the guest shows, and the words of the daemon; no more is read than the browser takes."""
    while True:
        await browser.tell(await _on_the_stream(stream.receive()))


async def _beat(browser: Browser) -> None:
    """Say that the server is there: a guest may be silent for long, and so may a connection that is lost."""
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        await browser.tell(json.dumps({"type": "beat"}))


async def _on_the_stream(doing: Awaitable[Found]) -> Found:
    try:
        return await doing
    except AgentError as error:
        raise _end_of(error) from error


async def _while_allowed(seat: services.Seat) -> None:
    """A console does not outlive the login that opened it, nor the grant."""
    try:
        while await services.open_seats.next(seat):
            pass
    except Unanswered:
        raise Ends(SERVICE_RESTART) from None
    raise Ends(LOGIN_NEEDED)


def _end_of(error: AgentError) -> Ends:
    """How a stream's end is passed on."""
    if not isinstance(error, StreamEnded):
        return _refusal(error)
    if error.code in PASSED_ON or error.code in OWN_CODES:
        return Ends(error.code, error.detail)
    return Ends(SERVICE_RESTART)


def _refusal(error: AgentError) -> Ends:
    code = NOT_NOW if isinstance(error, RetryLater) else NOT_OPENED
    detail = error.detail if isinstance(error, ProblemAnswer) and error.detail else str(error)
    return Ends(code, told={"type": "error", "problem": error.problem, "detail": detail})


def _object(said: str | bytes) -> dict[str, Any]:
    """The JSON object of a text message; empty for anything else."""
    try:
        found = json.loads(said) if isinstance(said, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
