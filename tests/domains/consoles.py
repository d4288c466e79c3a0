"""A browser's end of a console, and a daemon that plays the guest."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.testing import ApplicationCommunicator
from django.contrib.sessions.backends.db import SessionStore
from websockets.asyncio.server import ServerConnection

from domains.consumers import console

READY = json.dumps({"type": "ready", "mode": "write", "viewers": 1})
Talk = Callable[[ServerConnection], Awaitable[None]]


async def echo(stream: ServerConnection) -> None:
    """A guest that answers in capitals."""
    await stream.send(READY)
    async for said in stream:
        await stream.send(said.upper())


async def flood(stream: ServerConnection) -> None:
    """A guest that runs `yes`."""
    await stream.send(READY)
    while True:
        await stream.send(b"y\r\n" * 20_000)


async def silence(stream: ServerConnection) -> None:
    """A guest that shows nothing."""
    await stream.send(READY)
    await stream.wait_closed()


def ending_with(code: int, reason: str = "") -> Talk:
    async def talk(stream: ServerConnection) -> None:
        await stream.close(code, reason)

    return talk


class BrowserEnd:
    """The WebSocket of a page, without a network."""

    def __init__(self, session: str = "", token: str = "") -> None:
        headers = [(b"authorization", f"Token {token}".encode())] if token else []
        scope = {"type": "websocket", "path": "/ws/console/", "query_string": b"", "headers": headers}
        self.wire: Any = ApplicationCommunicator(  # type: ignore[no-untyped-call]
            console, {**scope, "session": SessionStore(session)}
        )

    async def connect(self) -> None:
        await self.wire.send_input({"type": "websocket.connect"})
        assert (await self.wire.receive_output())["type"] == "websocket.accept"

    async def say(self, message: bytes | str | dict[str, Any]) -> None:
        if isinstance(message, dict):
            message = json.dumps(message)
        key = "text" if isinstance(message, str) else "bytes"
        await self.wire.send_input({"type": "websocket.receive", key: message})

    async def hear(self) -> Any:
        """The next message: bytes, or the object of a text message."""
        message = await self.wire.receive_output(timeout=5)
        assert message["type"] == "websocket.send", message
        return message["bytes"] if "bytes" in message else json.loads(message["text"])

    async def closed(self, seconds: float = 5) -> int:
        message = await self.wire.receive_output(timeout=seconds)
        assert message["type"] == "websocket.close", message
        code: int = message["code"]
        return code

    async def leave(self) -> None:
        await self.wire.send_input({"type": "websocket.disconnect", "code": 1001})
        async with asyncio.timeout(5):
            await self.wire.wait()
