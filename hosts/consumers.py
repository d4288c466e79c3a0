"""The live channel of a page: what changed, by type and id. The page then fetches the data, if it may."""

import asyncio
import re
from collections import deque
from collections.abc import Coroutine
from typing import Any
from urllib.parse import parse_qsl

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from django.db import DatabaseError
from redis.exceptions import RedisError

from access.choices import Role
from access.logins import Login, login_of_socket, open_logins, rights_of_logins
from access.permissions import Rights
from access.rounds import Unanswered

from . import live, siblings
from .models import Host, Operation

LOGIN_NEEDED = 4401
NOT_FOUND = 4404
SERVICE_RESTART = 1012  # RFC 6455, registry of close codes: come back later
BEAT_SECONDS = 10
OVERTAKING_SECONDS = 1
MANY_LOST = 100
REMEMBERED_NEWS = 256
# Channels takes names of groups below 100 characters.
LONGEST_QUERY = 90
OF_ONE_OBJECT = ("host", "domain")
DIGITS = re.compile("[0-9]+").fullmatch


def groups_of(query: bytes) -> list[str]:
    """The groups of a page: the fleet, crawls, operations, and the one object that it shows (`?domain=5`)."""
    asked = parse_qsl(query[:LONGEST_QUERY].decode("ascii", "ignore"))
    return [*live.GROUPS, *(f"{kind}.{key}" for kind, key in asked if kind in OF_ONE_OBJECT and DIGITS(key))]


def is_seen(rights: Rights, event: live.EventType, key: live.Id) -> bool:
    """Whether one may see what an event is about: its id alone would tell that it is there."""
    match event:
        case "crawl.changed" | "range.changed":
            return rights.administers
        case "host.changed":
            return Host.objects.granted(rights, Role.VIEWER).filter(pk=key).exists()
        case "domains.changed":
            return Host.objects.named_to(rights).filter(pk=key).exists()
        case "domain.changed":
            return siblings.is_granted_domain(rights, Role.VIEWER, key)
        case "operation.changed":
            return Operation.objects.granted(rights, Role.VIEWER).filter(pk=str(key)).exists()


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """Send `{type, id, sequence}` for every change that one may see; `resync` after a gap, `beat` every 10 s.

    Closed with 4401 without login or grants, also when they end later, and with 1012 when Redis or the
    database is gone. It is accepted first: a browser learns the code of a closed socket, but not why a
    handshake was refused.
    """

    accepted = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        try:
            await super().__call__(scope, receive, send)
        except (RedisError, DatabaseError, OSError):
            # Channels asks Redis for a channel before anything else, and reads it until the end.
            if not self.accepted:
                await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": SERVICE_RESTART})
        finally:
            for task in self.tasks:
                task.cancel()

    async def connect(self) -> None:
        self.heard: dict[str, int] = {}
        self.missing: set[tuple[str, int]] = set()
        self.looking: asyncio.Task[None] | None = None
        self.sequence = 0
        self.told: deque[int] = deque(maxlen=REMEMBERED_NEWS)
        self.listens_to = groups_of(self.scope["query_string"])
        await self.accept()
        self.accepted = True
        login = await database_sync_to_async(login_of_socket)(self.scope)
        read = await database_sync_to_async(rights_of_logins)([login])
        self.listen_by(read[login])
        if not self.rights:
            await self.close(LOGIN_NEEDED)
            return
        for group in self.listens_to:
            await self.channel_layer.group_add(group, self.channel_name)
        await self.tell("hello")
        self.beside(self.end_with(login))
        self.beside(self.beat())

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 -- Channels' signature
        try:
            for group in self.listens_to:
                await self.channel_layer.group_discard(group, self.channel_name)
        except (RedisError, OSError):
            pass  # the group was lost with Redis

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **_: Any) -> None:
        """A page has nothing to say: what it shows, it fetches. What is said all the same is not read."""

    def beside(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have this done at the same time, until this socket ends."""
        task = asyncio.create_task(doing)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def end_with(self, login: Login) -> None:
        """End when the login does, or when nobody can say whether it did."""
        try:
            while self.rights:
                self.listen_by(await open_logins.next(login))
        except Unanswered:
            await self.close(SERVICE_RESTART)
        else:
            await self.close(LOGIN_NEEDED)

    def listen_by(self, rights: Rights) -> None:
        """Tell from now on what these let see."""
        self.rights = rights
        self.seen: dict[tuple[live.EventType, live.Id], bool] = {}

    async def beat(self) -> None:
        """Say that the server is there. End with Redis: the channel layer would wait in silence."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if not await asyncio.to_thread(live.reachable):
                await self.close(SERVICE_RESTART)
                return
            await self.tell("beat")

    async def live_event(self, event: live.Event) -> None:
        self.note(event["group"], event["sequence"])
        if event["news"] not in self.told:
            self.told.append(event["news"])
            if await self.may_hear(event["event"], event["id"]):
                await self.tell(event["event"], event["id"])

    async def may_hear(self, event: live.EventType, key: live.Id) -> bool:
        """Whether to tell it. The same is asked for once between two checks."""
        if self.rights.administers:
            return True
        if (event, key) not in self.seen:
            self.seen[event, key] = await database_sync_to_async(is_seen)(self.rights, event, key)
        return self.seen[event, key]

    def note(self, group: str, sequence: int) -> None:
        """Notice what was lost. Of two processes that publish at once one may overtake: that is no loss."""
        last = self.heard.setdefault(group, sequence - 1)
        if sequence <= last and (group, sequence) not in self.missing:
            # Redis was emptied, or forgot a silent group: what is known of its numbers says nothing any more.
            last = sequence
            self.heard = {}
            self.told.clear()
            self.missing = {(group, 0)}
        self.heard[group] = max(last, sequence)
        self.missing.discard((group, sequence))
        self.missing.update((group, lost) for lost in range(last + 1, sequence)[-MANY_LOST:])
        if self.missing and (self.looking is None or self.looking.done()):
            self.looking = self.beside(self.resync_after_loss())

    async def resync_after_loss(self) -> None:
        await asyncio.sleep(OVERTAKING_SECONDS)
        if self.missing:
            self.missing.clear()
            await self.tell("resync")

    async def tell(self, kind: str, id: live.Id | None = None) -> None:  # noqa: A002 -- the field's name on the wire
        """`sequence` counts what this socket was told, so that its browser sees a gap too."""
        if id is not None or kind == "resync":
            self.sequence += 1
        await self.send_json({"type": kind, "id": id, "sequence": self.sequence})


class NowhereConsumer(AsyncWebsocketConsumer):
    """A path that is no WebSocket of ours."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(NOT_FOUND)
