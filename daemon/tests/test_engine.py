"""The loop under bad clients: whatever they do, the next one is answered at once."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import threading
import time
import uuid
import weakref
from typing import Any
from unittest import mock

import keyupdates
import pytest
from authority import Authority
from doors import WELL_KNOWN, Host, World, until
from wires import UPGRADE

from virshmanagerd import connection, engine
from virshmanagerd.app import Application
from virshmanagerd.channel import Channel
from virshmanagerd.driver import Driver
from virshmanagerd.errors import NoVncDevice
from virshmanagerd.web import Response


def answered_at_once(host: Host, seconds: float = 2.0) -> None:
    start = time.monotonic()
    assert host.get(WELL_KNOWN).status == 200
    assert time.monotonic() - start < seconds


@pytest.mark.parametrize("count", [8, 50])
def test_one_byte_each(world: World, count: int) -> None:
    """They hold a connection each, and no thread."""
    host = world.host()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(host.plain()).sendall(b"\x16")
        answered_at_once(host)


def test_a_call_that_comes_while_the_loop_wakes_leaves_no_later_one_asleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, called = engine.Engine(), list[str]()
    reader = loop._wake_reader

    def interrupted(size: int) -> bytes:
        """Another thread has a call between the loop's waking and its reading of why."""
        if "meanwhile" not in called:
            called.append("meanwhile")
            loop.call(lambda: called.append("its call"))
        return reader.recv(size)

    monkeypatch.setattr(loop, "_wake_reader", mock.Mock(recv=interrupted))
    loop.call(lambda: called.append("first"))
    loop._turn(0)
    assert called == ["meanwhile", "first", "its call"]
    loop.call(lambda: called.append("last"))
    assert loop._selector.select(0), "the loop would sleep until its next tick"
    monkeypatch.undo()
    loop._end()


@pytest.mark.parametrize("count", [8, 50])
def test_half_a_request_each(world: World, count: int) -> None:
    host = world.host()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(host.connect()).sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\nHo")
        answered_at_once(host)


def test_the_oldest_of_a_source_gives_way(world: World) -> None:
    host = world.host()
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(host.plain()) for _ in range(engine.STRANGERS_PER_SOURCE + 1)]
        assert sockets[0].recv(1) == b""
        elsewhere = stack.enter_context(host.plain("127.0.0.2"))
        answered_at_once(host)
        elsewhere.settimeout(0.2)
        with pytest.raises(TimeoutError):  # another source's connection is left alone
            elsewhere.recv(1)


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("HANDSHAKE_SECONDS", None),
        ("HEADER_SECONDS", b""),
        ("HEADER_SECONDS", b"GET / HTTP/1.1\r\nHo"),
        ("BODY_SECONDS", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n123"),
    ],
)
def test_the_slow_are_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str, sent: bytes | None
) -> None:
    monkeypatch.setattr(connection, limit, 0.2)
    host = world.host()
    with host.plain() if sent is None else host.connect() as sock:
        sock.sendall(b"\x16" if sent is None else sent)
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert sock.recv(1) == b""
    answered_at_once(host)


def test_trickling_does_not_extend_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.3)
    host = world.host()
    start, ended = time.monotonic(), threading.Event()
    with host.connect() as sock, contextlib.suppress(ConnectionError, ssl.SSLError):
        while not ended.wait(0.05):
            sock.sendall(b"x")
            assert time.monotonic() - start < 5
    answered_at_once(host)


def test_a_client_that_never_reads_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr("virshmanagerd.web.TITLES", {"not_found": "x" * 8_000_000})
    host = world.host()
    with host.connect() as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: len(world.engine._doors[host.daemon].connections()) == 0)


def test_idle_connections_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.2)
    with world.host().session() as session:
        assert session.request("GET", WELL_KNOWN).status == 200
        assert session.ended()


def test_one_byte_records_hold_up_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is a TLS record, all are there at once: the loop does not recurse, and others have turns."""
    host, gate, answered = world.host(), threading.Event(), list[str]()
    respond = Application._respond

    def note(application: Application, environ: dict[str, Any]) -> Response:
        answered.append(environ["PATH_INFO"])
        return respond(application, environ)

    monkeypatch.setattr(Application, "_respond", note)

    def hold() -> None:
        gate.wait(10)

    with host.connect() as crumbs, host.connect() as whole:
        world.engine.call(hold)
        for byte in b"GET /crumbs HTTP/1.1\r\nHost: " + b"h" * 3000 + b"\r\n\r\n":
            crumbs.sendall(bytes([byte]))
        whole.sendall(b"GET /whole HTTP/1.1\r\nHost: h\r\n\r\n")
        gate.set()
        assert crumbs.recv(12) == whole.recv(12) == b"HTTP/1.1 404"
    assert answered == ["/whole", "/crumbs"]


@pytest.mark.parametrize("ask", [False, True])
def test_key_updates_hold_up_nobody(world: World, *, ask: bool) -> None:
    """OpenSSL on the socket would work on them for as long as they come."""
    host = world.host()
    sock, secret = keyupdates.connect(host.plain(), host.context(), host.directory / "keys")
    flood = keyupdates.records(secret, 40_000, ask=ask)
    with sock, pytest.raises(ConnectionError):  # an end that was read would be no error
        _send_to_the_end(sock, flood)
    answered_at_once(host)


def _send_to_the_end(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass


def test_a_few_key_updates_are_no_offence(world: World) -> None:
    host = world.host()
    sock, secret = keyupdates.connect(host.plain(), host.context(), host.directory / "keys")
    with sock:
        sock.sendall(keyupdates.records(secret, 100, ask=True))
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):  # the connection stands, and waits for a request
            sock.recv(1)


def test_the_owner_is_not_counted_among_strangers(world: World, authority: Authority) -> None:
    host, server = world.owned(authority), authority.server()
    with contextlib.ExitStack() as stack:
        count = engine.STRANGERS_PER_SOURCE + 4
        sessions = [stack.enter_context(host.session(server)) for _ in range(count)]
        for _ in range(2):
            assert {session.request("GET", WELL_KNOWN).status for session in sessions} == {200}


def test_tls_1_2_is_refused(world: World) -> None:
    host = world.host()
    context = host.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with host.plain() as plain, pytest.raises(ssl.SSLError, match=r"(?i)version"):
        context.wrap_socket(plain)


def test_plain_http_is_no_error_here(world: World) -> None:
    host = world.host()
    with host.plain() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while sock.recv(4096):
                pass
    answered_at_once(host)


def test_strangers_do_not_delay_the_owner(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    flooding = threading.Event()

    def flood(source: str) -> None:
        while not flooding.is_set():
            with contextlib.suppress(OSError), host.connect(source=source) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n")
                sock.recv(1)

    threads = [threading.Thread(target=flood, args=(f"127.0.0.{n}",)) for n in range(2, 6)]
    for thread in threads:
        thread.start()
    try:
        with host.session(authority.server()) as session:
            for _ in range(20):
                start = time.monotonic()
                assert session.request("GET", WELL_KNOWN).status == 200
                assert time.monotonic() - start < 2.0
    finally:
        flooding.set()
        for thread in threads:
            thread.join()


def test_strangers_use_up_no_thread_of_the_owner(world: World, authority: Authority) -> None:
    """All threads for strangers hang: the proven server is answered all the same."""
    host = world.host(authority)
    stuck, real = threading.Event(), host.daemon.usable_join_key

    def hang() -> object:
        if threading.current_thread().name.startswith("stranger"):
            stuck.wait()
        return real()

    with mock.patch.object(host.daemon, "usable_join_key", hang), contextlib.ExitStack() as stack:
        stack.callback(stuck.set)
        for _ in range(10):
            sock = stack.enter_context(host.connect())
            sock.sendall(b"GET " + WELL_KNOWN.encode() + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert host.get(WELL_KNOWN, authority.server()).status == 200


def test_consoles_that_do_not_open_use_up_no_thread_of_others(world: World, authority: Authority) -> None:
    """A guest that hangs keeps whoever wants to see its screen waiting, up to a minute."""
    host = world.owned(authority)
    stuck, client = threading.Event(), authority.server()
    head = "".join(f"{name}: {value}\r\n" for name, value in UPGRADE.items())

    def hang(_driver: Driver, _uuid: str) -> None:
        stuck.wait(20)
        raise NoVncDevice

    with mock.patch.object(Driver, "open_vnc", hang), contextlib.ExitStack() as stack:
        stack.callback(stuck.set)
        for _ in range(10):
            for number in range(4):
                sock = stack.enter_context(host.connect(client))
                path = f"/v1/domains/{uuid.UUID(int=number)}/console/vnc?mode=view"
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode())
        assert host.get(WELL_KNOWN, client).status == 200


def test_no_descriptors_are_left(world: World) -> None:
    host = world.host()
    for _ in range(100):
        host.plain().close()
    assert host.get(WELL_KNOWN).status == 200
    until(lambda: not world.engine._doors[host.daemon].connections())


def test_a_closed_connection_is_freed_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the garbage collector comes: a flood of connections would fill the memory until then."""
    host, seen = world.host(), list[weakref.ref[Channel]]()
    real = Channel.handshake

    def note(channel: Channel) -> bytes | None:
        seen.append(weakref.ref(channel))
        return real(channel)

    def freed() -> bool:
        world.engine.call(lambda: None)  # the loop holds what it served last until it serves another
        return not any(channel() for channel in seen)

    monkeypatch.setattr(Channel, "handshake", note)
    gc.disable()
    try:
        host.plain().close()
        assert host.get(WELL_KNOWN).status == 200
        until(freed)
    finally:
        gc.enable()
    assert seen


def test_two_daemons_in_one_engine(world: World, authority: Authority) -> None:
    mine, free = world.owned(authority), world.host()
    assert free.get(WELL_KNOWN).json["state"] == "unclaimed"
    assert mine.get(WELL_KNOWN, authority.server()).json["state"] == "owned"
    assert mine.daemon.identity.id != free.daemon.identity.id
    world.engine.remove(mine.daemon)
    until(lambda: mine.daemon not in world.engine._doors)
    with pytest.raises(ConnectionError):
        mine.plain()
    answered_at_once(free)


def test_stop_ends_idle_connections_at_once(world: World) -> None:
    host = world.host()
    with host.session() as session:
        session.request("GET", WELL_KNOWN)
        start = time.monotonic()
        world.close()
        assert session.ended()
    assert time.monotonic() - start < 1.0


def test_stop_lets_a_request_end(world: World) -> None:
    host = world.host()
    at_work, go_on, real = threading.Event(), threading.Event(), host.daemon.usable_join_key

    def slow() -> object:
        at_work.set()
        go_on.wait(5)
        return real()

    with mock.patch.object(host.daemon, "usable_join_key", slow), host.connect() as sock:
        sock.sendall(b"GET " + WELL_KNOWN.encode() + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert at_work.wait(5)
        world.engine.stop()
        go_on.set()
        assert sock.recv(12) == b"HTTP/1.1 200"


def test_a_kept_connection_takes_many_requests(world: World) -> None:
    with world.host().session() as session:
        for _ in range(3):
            assert session.request("GET", WELL_KNOWN).status == 200
