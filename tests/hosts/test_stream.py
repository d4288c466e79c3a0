"""Streams of a host: what is refused, how they end, and that bytes come through."""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from websockets.asyncio.server import ServerConnection

from hosts.agent import stream as gate
from hosts.agent.stream import open_console, open_events
from hosts.errors import (
    AgentError,
    GivenUp,
    OutsideRanges,
    ProblemAnswer,
    ProtocolError,
    RejectedByHost,
    StreamEnded,
    TimedOut,
    Unreachable,
    WrongIdentity,
)
from hosts.models import Host
from hosts.trust import ClientIdentity
from tests.signing import another_authority

from .daemons import PlayedDaemon
from .owned import Owned
from .peers import Peer, Talk, problem, response, saying

pytestmark = [pytest.mark.usefixtures("dialable"), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("CONNECT", 0.5), ("UPGRADE", 0.5), ("PING_EVERY", 0.1), ("PONG_WITHIN", 0.3)):
        monkeypatch.setattr(gate, name, seconds)


def answering(answer: bytes) -> Talk:
    """Read a request's head, answer it, and be deaf until the other side leaves."""

    def talk(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (more := connection.recv(4096)):
            head += more
        connection.sendall(answer)
        while connection.recv(4096):
            pass

    return talk


async def refused(host: Host, error: type[AgentError]) -> AgentError:
    begun = time.monotonic()
    with pytest.raises(error) as caught:
        await open_events(host)
    assert time.monotonic() - begun < 3
    return caught.value


@pytest.mark.parametrize("word", ["denied", "retired"])
async def test_a_host_that_was_given_up_is_not_spoken_to(word: str, owned: Owned) -> None:
    with Peer(saying(b""), owned.context()) as peer:
        await refused(owned.host(peer, trust=word), GivenUp)
        assert peer.connections == 0


async def test_nothing_outside_the_ranges_is_dialled(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosts.guards._guards", [])
    with Peer(saying(b""), owned.context()) as peer:
        await refused(owned.host(peer), OutsideRanges)
        assert peer.connections == 0


async def test_another_host_of_ours_does_not_answer_for_it(owned: Owned) -> None:
    with Peer(saying(b""), owned.context()) as peer:
        await refused(owned.host(peer, uuid=uuid4()), WrongIdentity)


async def test_a_host_that_refuses_our_certificate_is_not_called_down(owned: Owned, tmp_path: Path) -> None:
    other = another_authority(tmp_path / "other")
    with Peer(answering(b""), owned.context(client_ca=other.pem)) as peer:
        await refused(owned.host(peer), RejectedByHost)


async def test_nobody_there_is_unreachable(owned: Owned) -> None:
    with Peer(saying(b""), owned.context()) as peer:
        host = owned.host(peer)
    await refused(host, Unreachable)


@pytest.mark.usefixtures("hasty")
async def test_silence_ends_with_a_deadline(owned: Owned, tmp_path: Path) -> None:
    with Peer(saying(b""), owned.context()) as peer:
        await refused(owned.host(peer), TimedOut)
    with Peer(saying(b"")) as peer:  # takes the connection, and never begins TLS
        await refused(owned.host(peer), Unreachable)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 101 -\r\n\r\n",
        b"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Head: x\r\n" * 5000,
        response(200, b"<html>", {"Content-Type": "text/html"}),
        response(302, b"", {"Location": "wss://127.0.0.1:1/"}),
        problem(400, "Not A Word"),
    ],
)
async def test_what_is_no_websocket_is_a_protocol_error(owned: Owned, answer: bytes) -> None:
    with Peer(answering(answer), owned.context()) as peer:
        await refused(owned.host(peer), ProtocolError)


async def test_a_refusal_of_the_daemon_keeps_its_word(owned: Owned) -> None:
    with (
        Peer(answering(problem(409, "no_serial_device")), owned.context()) as peer,
        pytest.raises(ProblemAnswer) as caught,
    ):
        await open_console(owned.host(peer), uuid4(), "serial")
    assert caught.value.problem == "no_serial_device"


Play = Callable[[Callable[[ServerConnection], Awaitable[None]]], PlayedDaemon]


@pytest.fixture
def play(tmp_path: Path, client_identity: ClientIdentity) -> Play:
    return lambda talk: PlayedDaemon(tmp_path, client_identity, talk=talk)


async def raw(stream: ServerConnection, head: bytes, payload: bytes = b"") -> None:
    """Send a frame that no library would."""
    stream.transport.write(head + payload)
    await stream.wait_closed()


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("!BBQ", 0x81, 127, 9 * 2**20),  # announces more than a message may have
        b"\x81\x02\xff\xfe",  # text that is no UTF-8
        b"\xf1\x00",  # reserved bits
        b"\x80\x00",  # a continuation of nothing
    ],
)
async def test_frames_that_break_the_protocol_end_the_stream(play: Play, head: bytes) -> None:
    with play(lambda stream: raw(stream, head)) as daemon:
        async with await open_events(await database_sync_to_async(daemon.host)()) as stream:
            with pytest.raises(ProtocolError):
                await stream.receive()


async def test_the_end_tells_its_code(play: Play) -> None:
    with play(lambda stream: stream.close(4409, "busy")) as daemon:
        async with await open_console(await database_sync_to_async(daemon.host)(), uuid4(), "vnc") as stream:
            with pytest.raises(StreamEnded) as caught:
                await stream.receive()
            assert (caught.value.code, caught.value.detail) == (4409, "busy")
            with pytest.raises(StreamEnded):
                await stream.send("late")


@pytest.mark.usefixtures("hasty")
async def test_a_peer_that_died_without_a_word_is_noticed(play: Play) -> None:
    async def play_dead(stream: ServerConnection) -> None:
        stream.transport.pause_reading()
        await asyncio.sleep(30)

    with play(play_dead) as daemon:
        async with await open_events(await database_sync_to_async(daemon.host)()) as stream:
            with pytest.raises(TimedOut):
                await stream.receive()


@pytest.mark.usefixtures("hasty")
async def test_a_pong_is_a_sign_of_life(play: Play) -> None:
    with play(lambda stream: stream.wait_closed()) as daemon:
        async with await open_events(await database_sync_to_async(daemon.host)()) as stream:
            first = stream.heard_at
            async with asyncio.timeout(5):
                while stream.heard_at == first:
                    await asyncio.sleep(0.01)


async def test_what_is_not_taken_holds_the_host_back(play: Play) -> None:
    sent = 0

    async def flood(stream: ServerConnection) -> None:
        nonlocal sent
        while True:
            await stream.send(b"y" * 60_000)
            sent += 1

    with play(flood) as daemon:
        async with await open_console(
            await database_sync_to_async(daemon.host)(), uuid4(), "serial"
        ) as stream:
            await stream.receive()
            before = -1
            while before != sent:  # until the flood stands still
                before = sent
                await asyncio.sleep(0.3)
            assert sent < 500  # the kernel's buffers take 10 MB and more


async def test_it_works(play: Play) -> None:
    asked: list[str] = []

    async def echo(stream: ServerConnection) -> None:
        assert stream.request is not None
        asked.append(stream.request.path)
        async for message in stream:
            await stream.send(message)

    with play(echo) as daemon:
        host = await database_sync_to_async(daemon.host)()
        async with await open_console(host, domain := uuid4(), "serial", "take") as stream:
            for message in ("hello", b"\x00\xff"):
                await stream.send(message)
                assert await stream.receive() == message
        async with await open_events(host, after="e:1&x=2"):
            pass
    assert asked == [f"/v1/domains/{domain}/console/serial?mode=take", "/v1/events?after=e%3A1%26x%3D2"]
