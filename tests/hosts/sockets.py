"""A browser's end of a live channel."""

import asyncio
import json
from typing import Any

from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from hosts import consumers


class Socket:
    """A browser's end of a WebSocket. (Channels has one for tests, which needs daphne.)"""

    def __init__(self, consumer: Any, query: str = "", **scope: Any) -> None:
        plain = {"type": "websocket", "path": "/", "headers": [], "query_string": query.encode()}
        self.wire: Any = ApplicationCommunicator(  # type: ignore[no-untyped-call]
            consumer.as_asgi(), plain | scope
        )

    async def connect(self) -> None:
        await self.wire.send_input({"type": "websocket.connect"})
        assert (await self.wire.receive_output())["type"] == "websocket.accept"

    async def disconnect(self) -> None:
        await self.wire.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wire.wait()

    async def told(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((await self.wire.receive_output())["text"])
        return message

    async def closed(self) -> int:
        message = await self.wire.receive_output()
        assert message["type"] == "websocket.close"
        code: int = message["code"]
        return code

    async def closed_at_last(self) -> int:
        """The code by which it is closed, after what it is told before that."""
        async with asyncio.timeout(5):
            while (message := await self.wire.receive_output(timeout=5))["type"] != "websocket.close":
                pass
        code: int = message["code"]
        return code

    async def silent(self, seconds: float = 0.2) -> bool:
        silence: bool = await self.wire.receive_nothing(timeout=seconds)
        return silence


def logged_in(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def session_of(user: User) -> SessionStore:
    return SessionStore(logged_in(user).session.session_key)


async def socket(user: User | None, query: str = "") -> Socket:
    """A page of a user who has just logged in, or of a stranger."""
    session = await database_sync_to_async(session_of)(user) if user else SessionStore()
    return Socket(consumers.LiveConsumer, query, session=session)
