"""Consoles over a network: the whole web process, a daemon behind it, and a browser that may be slow."""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connection
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from discovery.models import Range
from domains.models import Domain
from hosts import trust
from tests.hosts.daemons import PlayedDaemon
from tests.virshmanager.serving import ROOT, free_port
from virshmanager.serve import web

from . import factories
from .consoles import READY, Talk, echo

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]

MIB = 2**20
STORM = 64 * MIB


class Web:
    """The web process as `script/server` starts it, on the database of the tests."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.origin = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Web":
        command = web()
        arguments = [*command.arguments]
        arguments[arguments.index("--port") + 1] = str(self.port)
        self.log = (self.home / "web.log").open("wb")
        self.process = subprocess.Popen(
            arguments, cwd=ROOT, env=self.environment(), stdout=self.log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 30
        while not self.listens():
            assert time.monotonic() < deadline, self.said()
            assert self.process.poll() is None, self.said()
            time.sleep(0.05)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "VIRSHMANAGER_HOME": str(self.home),
            "VIRSHMANAGER_PORT": str(self.port),
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
        }

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def said(self) -> str:
        return (self.home / "web.log").read_text()

    def memory(self) -> int:
        """Bytes that are resident (proc(5))."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cookie(self, browser: Client) -> str:
        return f"virshmanager_{self.port}_session={browser.session.session_key}"


def database_url() -> str:
    """Where the tests' database is, for another process."""
    used = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(used['NAME']))}"
    host = used["HOST"] or used["OPTIONS"].get("host", "")
    return f"postgresql://{used['USER']}@/{used['NAME']}?host={quote(host)}"


@pytest.fixture
def served(tmp_path: Path, settings: Any) -> Iterator[Web]:
    settings.VIRSHMANAGER_HOME = home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "secret_key").write_text(settings.SECRET_KEY)
    (home / "secret_key").chmod(0o600)
    trust.server_identity()
    Range.objects.create(cidr="127.0.0.0/28")
    with Web(home) as served:
        yield served


async def ticket_for(browser: Client, domain: Domain) -> str:
    path = f"/api/domains/{domain.pk}/console/"
    answer = await database_sync_to_async(browser.post)(path, {"kind": "serial"}, "application/json")
    return str(answer.json()["ticket"])


async def connected(served: Web, browser: Client, *, origin: str | None = "") -> ClientConnection:
    """The WebSocket of a page, on which nothing was said yet. It reads no further ahead than two messages."""
    cookie = await database_sync_to_async(served.cookie)(browser)
    address = f"ws://127.0.0.1:{served.port}/ws/console/"
    return await connect(
        address,
        origin=cast("Origin | None", served.origin if origin == "" else origin),
        additional_headers={"Cookie": cookie},
        max_queue=2,
        close_timeout=1,
    )


@asynccontextmanager
async def console(served: Web, browser: Client, talk: Talk, **hello: Any) -> AsyncIterator[ClientConnection]:
    """A console that is open, of a guest that does what `talk` says."""
    with PlayedDaemon(served.home, trust.server_identity(), talk=talk) as daemon:
        domain = await database_sync_to_async(lambda: factories.domain(daemon.host(), state="running"))()
        ticket = await ticket_for(browser, domain)
        wire = await connected(served, browser)
        try:
            await wire.send(json.dumps({"ticket": ticket, **hello}))
            assert json.loads(await wire.recv())["type"] == "ready"
            yield wire
        finally:
            wire.transport.abort()


async def test_only_pages_of_this_server_may_ask(served: Web, browser: Client) -> None:
    other_port = f"http://127.0.0.1:{served.port + 1}"
    for origin in (None, "http://elsewhere.example", "null", other_port, "http://127.0.0.1"):
        with pytest.raises(InvalidStatus) as refused:
            await connected(served, browser, origin=origin)
        assert refused.value.response.status_code == 403


@pytest.mark.attack("Hostile guest")
async def test_a_flood_waits_for_a_browser_that_does_not_read(served: Web, browser: Client) -> None:
    """Nothing is kept for it: the guest's side is told to wait, all the way, and loses nothing."""
    sent = 0

    async def flood(stream: ServerConnection) -> None:
        nonlocal sent
        await stream.send(READY)
        while sent < STORM:
            await stream.send(b"y\r\n" * 20_000)
            sent += 60_000
        await stream.wait_closed()

    async with console(served, browser, flood) as wire:
        before, last = served.memory(), -1
        while sent > last:  # until it has come to a stop
            last = sent
            await asyncio.sleep(1)
        assert sent < STORM / 2
        assert served.memory() - before < 4 * MIB
        received = 0
        while received < STORM:
            received += len(await wire.recv())
        assert served.memory() - before < 8 * MIB


@pytest.mark.attack("Hostile guest")
async def test_typing_waits_for_a_guest_that_does_not_read(served: Web, browser: Client) -> None:
    done = threading.Event()

    async def deaf(stream: ServerConnection) -> None:
        await stream.send(READY)
        stream.transport.pause_reading()
        await asyncio.to_thread(done.wait, 30)
        stream.transport.abort()

    async with console(served, browser, deaf) as wire:
        before, typed = served.memory(), 0
        try:
            while typed < STORM:
                async with asyncio.timeout(1):
                    await wire.send(b"x" * 60_000)
                typed += 60_000
        except TimeoutError:
            pass  # no more is taken
        finally:
            done.set()
        assert typed < STORM / 2
        assert served.memory() - before < 4 * MIB


async def test_a_key_is_answered_at_once(served: Web, browser: Client) -> None:
    took = []
    async with console(served, browser, echo) as wire:
        for _ in range(200):
            begun = time.perf_counter()
            await wire.send(b"x")
            assert await wire.recv() == b"X"
            took.append(time.perf_counter() - begun)
    assert statistics.median(took) < 0.015


async def test_it_ends_on_time_also_while_the_browser_does_not_read(served: Web, browser: Client) -> None:
    ended = threading.Event()

    async def flood(stream: ServerConnection) -> None:
        await stream.send(READY)
        try:
            while True:
                await stream.send(b"y\r\n" * 20_000)
        finally:
            ended.set()

    async with console(served, browser, flood):
        await database_sync_to_async(browser.logout)()
        assert await asyncio.to_thread(ended.wait, 2)


async def test_the_ticket_is_in_no_log(served: Web, browser: Client) -> None:
    domain = await database_sync_to_async(factories.domain)()
    ticket = await ticket_for(browser, domain)
    for code in (4422, 4403):
        wire = await connected(served, browser)
        await wire.send(json.dumps({"ticket": ticket}))
        await wire.wait_closed()
        assert wire.close_code == code
    assert "/ws/console/" in served.said()
    assert ticket not in served.said()
