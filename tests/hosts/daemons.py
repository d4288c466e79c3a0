"""A daemon that is played: its REST answers and its streams on one port, to be led by a test."""

import asyncio
import contextlib
import http
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from hosts.models import Host
from hosts.trust import ClientIdentity

from .factories import a_host, told_domain, told_host
from .owned import Owned

RING = 10_000
logger = logging.getLogger(__name__)
logger.setLevel(logging.WARNING)
Talk = Callable[[ServerConnection], Awaitable[None]]


class PlayedDaemon:
    """Speaks the contract as a well daemon does, in a thread of its own.

    `domains` are what it lists, by UUID; `listings` counts how often it was asked; `lies` take the place of
    what it would say in a listing on its stream. `talk` replaces what it does with a stream: to hang, to lie.
    """

    def __init__(self, folder: Path, client: ClientIdentity, *, talk: Talk | None = None) -> None:
        owned = Owned(folder, client)
        self.id = owned.id
        self.domains: dict[str, dict[str, Any]] = {}
        self.facts: dict[str, Any] = {"features": ["operations", "events", "console"]}
        self.lies: dict[str, Any] = {}
        self.epoch, self.seq = "e1", 0
        self.listings = self.streams = 0
        self.asked_after: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.hold_listings = threading.Event()
        self.hold_listings.set()
        self._ring: list[dict[str, Any]] = []
        self._open: set[ServerConnection] = set()
        self._talks: set[asyncio.Future[None]] = set()
        self._talk = talk or self._serve_events
        self._tls = owned.context()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.ip, self.port = "127.0.0.1", 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Go, and close everything."""
        self.hold_listings.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    @property
    def connected(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def host(self, **more: Any) -> Host:
        """The stored row of this daemon, as an enrolment leaves it."""
        return a_host(
            uuid=self.id, address=self.ip, port=self.port, features=["operations", "events"], **more
        )

    def add(self, **more: Any) -> dict[str, Any]:
        """Have one more domain, without an event."""
        domain = told_domain(**more)
        self.domains[domain["uuid"]] = domain
        return domain

    def change(self, uuid: str, kind: str = "domain.lifecycle", **values: Any) -> None:
        """Change a domain and tell of it."""
        self.domains[uuid] = self.domains[uuid] | values
        self.tell(kind, uuid=uuid, event="started", detail="booted", domain=self.domains[uuid])

    def remove(self, uuid: str) -> None:
        del self.domains[uuid]
        self.tell("domain.removed", uuid=uuid)

    def tell(self, kind: str, **fields: Any) -> None:
        """Publish an event to the ring and to every stream."""
        self._in_loop(self._publish, kind, fields)

    def say(self, text: str | bytes) -> None:
        """Send raw text to every stream, past the ring."""
        self._in_loop(self._broadcast, text)

    def hang_up(self) -> None:
        """End all streams, without a word."""

        def leave() -> None:
            while self._open:
                self._open.pop().transport.abort()

        self._in_loop(leave)

    def new_epoch(self) -> None:
        """What a libvirt that came back does: all counting starts anew."""

        def begin() -> None:
            self.epoch, self.seq, self._ring = f"{self.epoch}x", 0, []
            self._publish("resync", {})

        self._in_loop(begin)

    def _in_loop(self, function: Callable[..., Any], *arguments: Any) -> None:
        done = threading.Event()

        def run() -> None:
            function(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def _publish(self, kind: str, fields: dict[str, Any]) -> None:
        self.seq += 1
        event = {"type": kind, "epoch": self.epoch, "seq": self.seq, **fields}
        self._ring = [*self._ring, event][-RING:]
        self._broadcast(json.dumps(event))

    def _broadcast(self, text: str | bytes) -> None:
        for stream in list(self._open):
            send = stream.protocol.send_text if isinstance(text, str) else stream.protocol.send_binary
            send(text.encode() if isinstance(text, str) else text)
            stream.send_data()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._main())

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        async with serve(
            self._talk_counted,
            self.ip,
            self.port,
            ssl=self._tls,
            process_request=self._answer,
            compression=None,
            close_timeout=0.2,
            logger=logger,
        ) as server:
            self.port = _port(server)
            self._started.set()
            await self._stop.wait()
            for task in list(self._talks):
                task.cancel()

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path == "/v1/host":
            return _json(told_host(self.id, **self.facts))
        if path == "/v1/domains":
            return _json(await self._listing())
        if path == "/v1/events" or "/console/" in path:
            return None
        return _json({"type": "not_found", "title": "Not found"}, 404)

    async def _talk_counted(self, stream: ServerConnection) -> None:
        self.streams += 1
        self._talks.add(task := asyncio.ensure_future(self._talk(stream)))
        with contextlib.suppress(ConnectionClosed, asyncio.CancelledError):
            await task
        self._talks.discard(task)

    async def _serve_events(self, stream: ServerConnection) -> None:
        assert stream.request is not None
        after = parse_qs(urlsplit(stream.request.path).query).get("after", [""])[0]
        self.asked_after.append(after)
        epoch, _, seq = after.rpartition(":")
        replayed = epoch == self.epoch and self.seq - len(self._ring) <= int(seq)
        hello = {"type": "hello", "epoch": self.epoch, "seq": self.seq, "journal_id": "j1"}
        stream.protocol.send_text(json.dumps({**hello, "replayed": replayed}).encode())
        for event in self._ring if replayed else []:
            if event["seq"] > int(seq):
                stream.protocol.send_text(json.dumps(event).encode())
        self._open.add(stream)
        stream.send_data()
        try:
            async for message in stream:
                self.heard.append(frame := json.loads(message))
                if frame["type"] == "list":
                    self._talks.add(asyncio.ensure_future(self._list(stream, frame["id"])))
        finally:
            self._open.discard(stream)

    async def _list(self, stream: ServerConnection, number: int) -> None:
        listing = await self._listing()
        host = told_host(self.id, **self.facts)
        message = {"type": "listing", "id": number, "host": host, **(listing | self.lies)}
        with contextlib.suppress(ConnectionClosed):
            await stream.send(json.dumps(message))

    async def _listing(self) -> dict[str, Any]:
        """What it lists now, told when `hold_listings` allows."""
        self.listings += 1
        listing = {"event_epoch": self.epoch, "domains": list(self.domains.values())}
        await asyncio.to_thread(self.hold_listings.wait, 20)
        return listing


def _json(body: object, status: int = 200) -> Response:
    content = json.dumps(body).encode()
    kind = "application/json" if status == http.HTTPStatus.OK else "application/problem+json"
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(content)), "Connection": "close"})
    return Response(status, "-", headers, content)


def _port(server: Server) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port
