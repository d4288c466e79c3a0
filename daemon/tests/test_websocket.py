"""Streams on real sockets: who may open one, what ends it, and that none disturbs the others."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

import keyupdates
import pytest
import wires
from authority import HOUR, Authority, Pair
from doors import WELL_KNOWN, Host, World, until
from websockets.exceptions import ConnectionClosed
from wires import CLOSE, END, PATH, PING, PONG, RSV1, TEXT, UPGRADE, Raw, Streams

from virshmanagerd import certificates, commands, conversation, engine
from virshmanagerd.streams import Pipe
from virshmanagerd.websocket import MAX_MESSAGE_BYTES


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Streams at ``wires.PATH`` that echo."""
    streams = Streams()
    wires.add_route(monkeypatch, streams.open)
    return streams


@pytest.fixture
def host(world: World, authority: Authority) -> Host:
    return world.owned(authority)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.server()


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in UPGRADE.items() if key != name}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 426),
        (without("Upgrade"), 426),
        (without("Connection"), 426),
        (UPGRADE | {"Upgrade": "h2c"}, 426),
        (without("Sec-WebSocket-Version"), 426),
        (UPGRADE | {"Sec-WebSocket-Version": "8"}, 426),
        (without("Sec-WebSocket-Key"), 400),
        (UPGRADE | {"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
        (UPGRADE | {"Sec-WebSocket-Key": "no base64"}, 400),
    ],
)
def test_a_handshake_that_is_none(
    streams: Streams, host: Host, pair: Pair, headers: dict[str, str], status: int
) -> None:
    """It is an answer like others: the connection takes the next request."""
    with host.session(pair) as session:
        answer = session.request("GET", PATH, headers=headers)
        assert answer.status == status
        if status == 426:
            assert answer.json["type"] == "upgrade_required"
            assert answer.headers["Upgrade"] == "websocket"
        assert session.request("GET", WELL_KNOWN).status == 200
    assert not streams.made


def test_a_stranger_meets_no_websocket(streams: Streams, host: Host, other_authority: Authority) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)), host.session() as session:
        session.request("GET", PATH, headers=UPGRADE)
    with pytest.raises((ssl.SSLError, ConnectionError)), host.session(other_authority.server()) as session:
        session.request("GET", PATH, headers=UPGRADE)
    assert not streams.made


def test_an_unowned_host_has_no_streams(streams: Streams, world: World, authority: Authority) -> None:
    with world.host(authority).session(authority.server()) as session:
        assert session.request("GET", PATH, headers=UPGRADE).status == 403
    assert not streams.made


def test_an_upgrade_of_an_ordinary_route_is_a_request(host: Host, pair: Pair) -> None:
    with host.session(pair) as session:
        for _ in range(2):
            assert session.request("GET", WELL_KNOWN, headers=UPGRADE).status == 200


def test_frames_before_the_answer_are_refused(streams: Streams, host: Host, pair: Pair) -> None:
    with host.connect(pair) as sock:
        headers = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
        request = f"GET {PATH} HTTP/1.1\r\nHost: h\r\n{headers}\r\n".encode()
        sock.sendall(request + wires.frame(TEXT, b"early"))
        assert sock.recv(12) == b"HTTP/1.1 400"
    assert not streams.made


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (wires.frame(TEXT, b"x", masked=False), 1002),
        (wires.frame(TEXT, b"x", flags=END | RSV1), 1002),
        (wires.frame(3, b"x"), 1002),
        (wires.frame(0, b"x"), 1002),
        (wires.frame(PING, b"x", flags=0), 1002),
        (wires.frame(PING, b"x" * 126), 1002),
        (wires.frame(TEXT, b"x", flags=0) + wires.frame(TEXT, b"y"), 1002),
        (wires.frame(TEXT, b"\xff"), 1007),
        (wires.frame(TEXT, b"\xc3", flags=0) + wires.frame(0, b"x"), 1007),
        (wires.frame(CLOSE, b"\x00"), 1002),
        (wires.frame(2, b"x" * (MAX_MESSAGE_BYTES + 1)), 1009),
        (wires.frame(2, b"x" * MAX_MESSAGE_BYTES, flags=0) + wires.frame(0, b"x"), 1009),
        (wires.frame(CLOSE, (4321).to_bytes(2, "big")), 4321),
        (wires.frame(CLOSE), 1000),
    ],
)
def test_what_ends_a_stream_and_with_which_code(
    streams: Streams, host: Host, pair: Pair, sent: bytes, code: int
) -> None:
    with Raw(host, pair) as raw:
        raw.socket.sendall(sent)
        assert raw.closing() == code
        assert raw.ended()
    assert streams.last.over.wait(5)
    assert streams.last.messages.empty()


def test_empty_parts_without_end_take_no_memory(streams: Streams, host: Host, pair: Pair) -> None:
    with Raw(host, pair) as raw:
        raw.send(TEXT, b"a", flags=0)
        raw.socket.sendall(wires.frame(0, flags=0) * 10_000)
        raw.send(0, b"b")
        assert raw.receive() == (TEXT, b"ab")


def test_echo(streams: Streams, host: Host, pair: Pair) -> None:
    largest = "\N{SNOWMAN}" * (MAX_MESSAGE_BYTES // 3)
    with wires.client(host, pair) as client:
        for message in ("", b"", "text", b"\x00\xff", largest, b"b" * MAX_MESSAGE_BYTES):
            client.send(message)
            assert client.recv(5) == message
    assert streams.last.over.wait(5)
    assert streams.last.ends == 1


def test_a_message_may_come_in_parts_and_bytes(streams: Streams, host: Host, pair: Pair) -> None:
    with Raw(host, pair) as raw:
        raw.send(TEXT, b"\xc3", flags=0)
        raw.send(PING, b"between")
        raw.send(0, b"\xa9", flags=END)
        assert raw.receive() == (PONG, b"between")
        assert raw.receive() == (TEXT, "\N{LATIN SMALL LETTER E WITH ACUTE}".encode())
        for byte in wires.frame(2, b"crumbs"):
            raw.socket.sendall(bytes([byte]))
        assert raw.receive() == (2, b"crumbs")


def test_a_large_message_goes_out_whole(streams: Streams, host: Host, pair: Pair) -> None:
    with wires.client(host, pair) as client:
        streams.last.pipe.send(b"x" * 5_000_000)
        assert client.recv(10) == b"x" * 5_000_000
        until(lambda: streams.last.drains > 0)
        assert streams.last.pipe.unsent == 0


def test_twenty_streams_beside_calls(streams: Streams, host: Host, pair: Pair) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(wires.client(host, pair)) for _ in range(20)]
        session = stack.enter_context(host.session(pair))
        for number in range(5):
            for client in clients:
                client.send(f"{number}")
            assert session.request("GET", WELL_KNOWN).status == 200
            assert {client.recv(5) for client in clients} == {f"{number}"}


def test_streams_are_never_closed_for_idle_connections(
    streams: Streams, host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    door = world.engine._doors[host.daemon]
    monkeypatch.setattr(door._proven, "_per_source", 5)
    with wires.client(host, pair) as client, contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(host.session(pair)).request("GET", WELL_KNOWN)
        client.send("still here")
        assert client.recv(5) == "still here"


def test_messages_of_many_threads_arrive_whole_and_in_their_order(
    streams: Streams, host: Host, pair: Pair
) -> None:
    with wires.client(host, pair) as client:
        pipe = streams.last.pipe

        def talk(name: str) -> None:
            for number in range(200):
                pipe.send(f"{name} {number}")

        threads = [threading.Thread(target=talk, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        heard = [str(client.recv(5)).split() for _ in range(800)]
        for thread in threads:
            thread.join()
    for name in "abcd":
        assert [int(number) for speaker, number in heard if speaker == name] == list(range(200))


def test_what_a_client_does_not_read_is_counted_and_ends(
    streams: Streams, host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "STALL_SECONDS", 0.5)
    with Raw(host, pair):
        stream = streams.last
        for _ in range(100):
            stream.pipe.send(b"x" * 100_000)
        until(lambda: 0 < stream.pipe.unsent < 10_000_000)
        assert stream.over.wait(5)
    assert stream.pipe.unsent < 200_000  # the queue is gone


def test_a_slow_reader_that_goes_on_is_kept(
    streams: Streams, host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "STALL_SECONDS", 1.5)
    with Raw(host, pair) as raw:
        streams.last.pipe.send(b"x" * 12_000_000)
        pause, end = threading.Event(), time.monotonic() + 4
        while time.monotonic() < end:
            assert raw.socket.recv(400_000)
            pause.wait(0.1)
        assert not streams.last.over.is_set()


def test_pause_holds_the_client_back(streams: Streams, host: Host, pair: Pair) -> None:
    def pause(pipe: Pipe, _data: bytes | str) -> None:
        pipe.pause()

    streams.reply = pause
    with Raw(host, pair) as raw:
        raw.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):  # when the buffers of the kernel are full
            raw.socket.sendall(wires.frame(2, b"x" * 60_000) * 500)
        stream = streams.last
        assert stream.messages.qsize() == 1
        stream.pipe.resume()
        until(lambda: stream.messages.qsize() == 2)


def test_nothing_is_received_while_paused_even_of_one_packet(
    streams: Streams, host: Host, pair: Pair
) -> None:
    streams.reply = lambda pipe, _data: pipe.pause()
    with Raw(host, pair) as raw:
        raw.socket.sendall(wires.frame(TEXT, b"1") + wires.frame(TEXT, b"2") + wires.frame(TEXT, b"3"))
        for count in (1, 2, 3):
            until(lambda count=count: streams.last.messages.qsize() == count)  # type: ignore[misc]
            streams.last.pipe.resume()
        assert [streams.last.messages.get() for _ in range(3)] == ["1", "2", "3"]


def test_who_is_held_back_is_still_pinged_and_heard_to_end(streams: Streams, host: Host, pair: Pair) -> None:
    streams.reply = lambda pipe, _data: pipe.pause()
    with Raw(host, pair) as raw:
        raw.send(TEXT, b"1")
        raw.send(TEXT, b"2")
        raw.send(PING, b"there?")
        assert raw.receive() == (PONG, b"there?")
        raw.send(CLOSE, (1000).to_bytes(2, "big"))
        assert raw.closing() == 1000
        assert streams.last.over.wait(5)
        assert streams.last.messages.qsize() == 1


def test_a_stream_is_called_later_unless_it_is_over(
    streams: Streams, host: Host, pair: Pair, world: World
) -> None:
    called: list[str] = []
    with wires.client(host, pair) as client:
        pipe = streams.last.pipe
        pipe.call(lambda: pipe.call_later(0.2, lambda: called.append("never")))
        pipe.call(lambda: pipe.call_later(0.05, lambda: called.append("second")))
        pipe.call(lambda: pipe.call_later(0.01, lambda: called.append("first")))
        until(lambda: len(called) == 2)
        client.close()
        assert streams.last.over.wait(5)
        until(lambda: not world.engine._later)
    assert called == ["first", "second"]


def test_a_change_of_trust_ends_streams(streams: Streams, host: Host, pair: Pair) -> None:
    with Raw(host, pair) as raw:
        stream = streams.last
        list(commands.reset(host.daemon.config))
        assert raw.ended()
    assert stream.over.wait(5)


def test_a_stream_ends_with_the_certificate_that_opened_it(
    streams: Streams, host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Raw(host, pair) as raw:
        stream, later = streams.last, certificates.now() + 24 * HOUR * 366
        monkeypatch.setattr(certificates, "now", lambda: later)
        assert raw.ended()
    assert stream.over.wait(5)


def test_a_silent_client_is_pinged_and_then_given_up(
    streams: Streams, host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "PING_SECONDS", 0.3)
    monkeypatch.setattr(conversation, "PONG_SECONDS", 1.0)
    with Raw(host, pair) as raw:
        assert raw.receive() == (PING, b"")
        assert streams.last.over.wait(10)


def test_a_client_that_answers_pings_stays(
    streams: Streams, host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "PING_SECONDS", 0.1)
    monkeypatch.setattr(conversation, "PONG_SECONDS", 1.5)
    with Raw(host, pair) as raw:
        for _ in range(4):
            assert raw.receive()[0] == PING
            raw.send(PONG)
        assert not streams.last.over.is_set()


def test_a_client_that_does_not_answer_a_close(
    streams: Streams, host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "CLOSE_SECONDS", 0.2)
    with Raw(host, pair) as raw:
        stream = streams.last
        stream.pipe.send("last words")
        stream.pipe.close(4411, "domain stopped")
        stream.pipe.send("too late")
        assert raw.receive() == (TEXT, b"last words")
        assert raw.receive() == (CLOSE, (4411).to_bytes(2, "big") + b"domain stopped")
        raw.send(TEXT, b"not heard")
        assert stream.over.wait(5)
        assert raw.ended()
    assert stream.messages.empty()


def test_a_close_may_discard_what_is_unsent(streams: Streams, host: Host, pair: Pair) -> None:
    with wires.client(host, pair) as client:
        for _ in range(1000):
            streams.last.pipe.send(b"x" * 50_000)
        streams.last.pipe.close(1013, "too slow", discard=True)
        with contextlib.suppress(ConnectionClosed):
            assert len(list(client)) < 1000
        assert (client.close_code, client.close_reason) == (1013, "too slow")


def test_a_client_that_breaks_off(streams: Streams, host: Host, pair: Pair) -> None:
    with Raw(host, pair) as raw:
        stream = streams.last
        raw.socket.shutdown(socket.SHUT_RDWR)
    assert stream.over.wait(5)
    stream.pipe.send("to nobody")
    stream.pipe.close()
    stream.pipe.resume()
    assert stream.ends == 1


def test_a_defect_in_one_stream_does_not_end_the_others(
    streams: Streams, host: Host, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(pipe: Pipe, data: bytes | str) -> None:
        if data == "fail":
            raise RuntimeError("a defect")
        pipe.send(data)

    streams.reply = fail
    with wires.client(host, pair) as good, wires.client(host, pair) as bad:
        bad.send("fail")
        with pytest.raises(ConnectionClosed):
            bad.recv(5)
        assert bad.close_code == 1011
        good.send("works")
        assert good.recv(5) == "works"
    assert "a stream failed" in caplog.text


def test_stopping_says_that_the_daemon_goes_away(
    streams: Streams, host: Host, pair: Pair, world: World
) -> None:
    with wires.client(host, pair) as client:
        streams.last.pipe.send(b"x" * 50_000_000)
        start = time.monotonic()
        world.engine.stop()
        list(client)
        assert client.close_code == 1001
        assert time.monotonic() - start < engine.GRACE_SECONDS + 1
    assert streams.made[-1].over.wait(5)


def test_stopping_waits_for_nobody_that_does_not_answer(
    streams: Streams, host: Host, pair: Pair, world: World
) -> None:
    with Raw(host, pair) as raw:
        assert streams.last
        world.engine.stop()
        assert raw.closing() == 1001
        assert streams.last.over.wait(engine.GRACE_SECONDS + 2)


@pytest.mark.parametrize("ask", [False, True])
def test_key_updates_hold_up_nobody(streams: Streams, host: Host, pair: Pair, *, ask: bool) -> None:
    sock, secret = keyupdates.connect(host.plain(), host.context(pair), host.directory / "keys")
    headers = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())
    request = f"GET {PATH} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"
    with sock:
        sock.sendall(keyupdates.data(secret, request.encode()))
        until(lambda: bool(streams.made))
        # Only now: making them takes longer than a connection may be without a request.
        flood = keyupdates.records(secret, 200_000, ask=ask, sent=1)
        with pytest.raises(ConnectionError):
            sock.sendall(flood)
    assert streams.last.over.wait(5)
    with wires.client(host, pair) as client:
        client.send("next")
        assert client.recv(5) == "next"


def test_another_socket_can_be_watched_until_the_stream_ends(
    streams: Streams, host: Host, pair: Pair, world: World
) -> None:
    near, far = socket.socketpair()
    with near, far, wires.client(host, pair) as client:
        pipe = streams.last.pipe

        def relay() -> None:
            pipe.send(near.recv(100))

        pipe.call(lambda: pipe.watch(near, 1, relay))
        far.sendall(b"from elsewhere")
        assert client.recv(5) == b"from elsewhere"
        client.close()
        assert streams.last.over.wait(5)
        until(lambda: near not in world.engine._selector.get_map())
