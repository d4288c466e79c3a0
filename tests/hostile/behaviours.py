"""What a daemon that was taken over may do to the server that owns it, as a table.

Each row says how the daemon behaves, and the word that its host shows then; an empty word means that what it
said is used. Certificates, bodies and floods are made when a row is played.
"""

import base64
import gzip
import hashlib
import hmac
import json
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import time_machine
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hosts.trust import ClientIdentity, keys
from tests import signing
from tests.hosts.factories import told_domain, told_host
from tests.hosts.peers import Talk, http, ok, problem, response, saying, self_signed, server_context
from tests.signing import csr

HALF: Final = chr(0xD800)  # of a character; in a literal it is more than mypy can store
ESCAPES: Final = f"\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe{HALF}\r\n\x00web"
JSON: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED: Final = JSON + b"Transfer-Encoding: chunked\r\n\r\n"
PROBLEM: Final = {"Content-Type": "application/problem+json"}
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Scene:
    """The key of a daemon whose host is owned by `client`, and what it knows of others."""

    def __init__(self, folder: Path, client: ClientIdentity, neighbour: UUID) -> None:
        self.folder, self.client, self.neighbour = folder, client, neighbour
        self.key = keys.new_key()
        self.id = keys.daemon_id(keys.spki(self.key.public_key()))

    @property
    def keylog(self) -> Path:
        return self.folder / "keylog"

    def context(self) -> ssl.SSLContext:
        """TLS as a well daemon has it."""
        ca = self.client.authority
        return server_context(self.folder, self.key, ca.sign_host(csr(self.key)), client_ca=ca.pem)

    def host(self, **changes: Any) -> dict[str, Any]:
        return told_host(self.id, **changes)


Says = Callable[[Scene], Talk]
Tls = Callable[[Scene], ssl.SSLContext | None]


@dataclass(frozen=True)
class Behaviour:
    """One row. `says` is what it does on a connection, `tls` how it gets there; None for no TLS."""

    name: str
    problem: str
    says: Says
    tls: Tls = Scene.context

    def __str__(self) -> str:
        return self.name


# --- answers ---------------------------------------------------------------------------------------------


def anything(answer: bytes) -> Says:
    """These bytes to every request."""
    return lambda _: http(answer)


def status(code: int, **headers: str) -> Says:
    return anything(response(code, b"", headers))


def body(content: bytes, **headers: str) -> Says:
    """An inventory of these bytes."""
    return anything(ok(content, **headers))


def host(**changes: Any) -> Says:
    """An inventory with these changes, and no domains."""

    def says(scene: Scene) -> Talk:
        told = ok(scene.host(**changes))
        return http(lambda path: told if path == "/v1/host" else ok({"domains": []}))

    return says


def edited(old: str, new: str) -> Says:
    """An inventory in whose JSON a part was replaced."""

    def says(scene: Scene) -> Talk:
        text = json.dumps(scene.host())
        assert old in text
        return http(ok(text.replace(old, new).encode()))

    return says


def listing(answer: Callable[[], bytes]) -> Says:
    """A good inventory, and this answer to who asks for the domains."""
    return lambda scene: http(lambda path: ok(scene.host()) if path == "/v1/host" else answer())


def domains(*listed: dict[str, Any]) -> Says:
    return listing(lambda: ok({"event_epoch": "1", "domains": list(listed)}))


# --- ways to talk ----------------------------------------------------------------------------------------


def first(send: Callable[[socket.socket], None]) -> Says:
    """Read something, and then `send`."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        send(connection)

    return lambda _: talk


def drip(head: bytes, piece: bytes) -> Says:
    """Send a head, and then a piece every twentieth of a second, for ever."""

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(0.05)

    return first(send)


def flood(head: bytes, piece: bytes) -> Says:
    """Send a head, and then pieces as fast as they are taken, for ever."""
    many = piece * (65536 // len(piece))

    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(many)

    return first(send)


def endless_listing(start: bytes, piece: bytes) -> Says:
    """A good inventory, and a listing that goes on for ever."""

    def says(scene: Scene) -> Talk:
        def talk(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(ok(scene.host()))
            flood(JSON + b"\r\n" + start, piece)(scene)(connection)

        return talk

    return says


def and_leave(data: bytes) -> Says:
    return first(lambda connection: connection.sendall(data))


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def silent(_: Scene) -> Talk:
    return saying(b"")


# --- TLS -------------------------------------------------------------------------------------------------


def plain(_: Scene) -> None:
    """No TLS at all."""


def showing_itself(scene: Scene) -> ssl.SSLContext:
    return server_context(scene.folder, scene.key, self_signed(scene.key))


def another_authority(scene: Scene) -> ssl.SSLContext:
    other = signing.another_authority(scene.folder / "other")
    return server_context(scene.folder, scene.key, other.sign_host(csr(scene.key)))


def another_host(scene: Scene) -> ssl.SSLContext:
    key = keys.new_key()
    return server_context(scene.folder, key, scene.client.authority.sign_host(csr(key)))


def role_of_a_server(scene: Scene) -> ssl.SSLContext:
    certificate = scene.client.authority.sign_server(csr(scene.key), scene.client.server_id)
    return server_context(scene.folder, scene.key, certificate)


def of_another_day(days: int) -> Tls:
    def make(scene: Scene) -> ssl.SSLContext:
        with time_machine.travel(time.time() + days * 86400, tick=True):
            return scene.context()

    return make


def demanding_another_server(scene: Scene) -> ssl.SSLContext:
    other = signing.another_authority(scene.folder / "other")
    certificate = scene.client.authority.sign_host(csr(scene.key))
    return server_context(scene.folder, scene.key, certificate, client_ca=other.pem)


def tls_1_2(ciphers: str) -> Tls:
    def make(scene: Scene) -> ssl.SSLContext:
        context = scene.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        return context

    return make


def logging_its_keys(scene: Scene) -> ssl.SSLContext:
    context = scene.context()
    context.keylog_filename = str(scene.keylog)
    return context


def key_updates(scene: Scene) -> Talk:
    """TLS records without data, for ever: OpenSSL reads on as long as there are any (RFC 8446, 4.6.3)."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        assert isinstance(connection, ssl.SSLSocket)
        logged = dict(line.split()[::2] for line in scene.keylog.read_text().splitlines() if line[0] != "#")
        updates = _key_updates(bytes.fromhex(logged["SERVER_TRAFFIC_SECRET_0"]))
        with socket.socket(fileno=connection.detach()) as below:
            while True:
                below.sendall(b"".join(next(updates) for _ in range(500)))

    return talk


def _key_updates(secret: bytes) -> Iterator[bytes]:
    """Each is the first record under its key. The cipher is TLS_AES_256_GCM_SHA384."""
    content, header = b"\x18\x00\x00\x01\x00\x16", b"\x17\x03\x03\x00\x16"
    while True:
        key, nonce = _expand(secret, b"key", 32), _expand(secret, b"iv", 12)
        yield header + AESGCM(key).encrypt(nonce, content, header)
        secret = _expand(secret, b"traffic upd", 48)


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446, 7.1), of one block."""
    name = b"tls13 " + label
    info = struct.pack(">HB", length, len(name)) + name + b"\x00\x01"
    return hmac.digest(secret, info, "sha384")[:length]


def bomb(_: Scene) -> Talk:
    """60 KB that unfold to 60 MB."""
    return http(ok(gzip.compress(bytes(6 * 10**7)), Content_Encoding="gzip"))


def trouble() -> bytes:
    """A problem of the hypervisor, in words that a terminal would obey."""
    return response(503, {"type": "libvirt_down", "title": "x", "detail": ESCAPES}, PROBLEM)


# --- WebSockets ------------------------------------------------------------------------------------------


def frames(*sent: bytes, forever: bytes = b"", then: bytes | None = None) -> Says:
    """Agree to a WebSocket, and send frames (RFC 6455, 5.2); who sends them `forever` reads nothing more."""

    def talk(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())  # noqa: S324 -- RFC 6455 has it so
        upgrade = b"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n" + (then or b"") + b"\r\n")
        connection.sendall(b"".join(sent))
        while forever:
            connection.sendall(forever * (65536 // len(forever)))
        while connection.recv(65536):
            pass

    return lambda _: talk


# --- the table -------------------------------------------------------------------------------------------

Row = tuple[str, str, Says] | tuple[str, str, Says, Tls]

TLS: Final[list[Row]] = [
    ("takes the connection and says nothing", "timed_out", silent, plain),
    ("is another service", "unreachable", lambda _: saying(b"SSH-2.0-x\r\n"), plain),
    ("answers without TLS", "unreachable", lambda _: saying(ok({})), plain),
    ("floods instead of a handshake", "unreachable", flood(b"", b"\x16\x03\x03\xff\xff"), plain),
    ("drips its handshake", "timed_out", drip(b"\x16\x03\x03\x40\x00\x02", b"\x00"), plain),
    ("hangs up in the handshake", "unreachable", and_leave(b""), plain),
    ("speaks TLS 1.2", "bad_answer", host(), tls_1_2("DEFAULT")),
    ("offers ciphers without certificates", "bad_answer", host(), tls_1_2("ADH:@SECLEVEL=0")),
    ("shows a certificate of its own", "wrong_identity", host(), showing_itself),
    ("shows one of another authority", "wrong_identity", host(), another_authority),
    ("shows another host's", "wrong_identity", host(), another_host),
    ("shows a server's role", "wrong_identity", host(), role_of_a_server),
    ("shows one that expired", "certificate_expired", host(), of_another_day(-31)),
    ("shows one of tomorrow", "certificate_expired", host(), of_another_day(2)),
    ("demands another server", "rejected_by_host", host(), demanding_another_server),
    ("resets after the handshake", "rejected_by_host", first(reset)),
    ("changes its keys for ever", "timed_out", key_updates, logging_its_keys),
]

SLOW: Final[list[Row]] = [
    ("never answers", "timed_out", silent),
    ("drips its status", "timed_out", drip(b"HTTP/1.1 2", b"0")),
    ("drips headers", "timed_out", drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")),
    ("drips its body", "timed_out", drip(JSON + b"Content-Length: 9999\r\n\r\n", b" ")),
    ("drips chunks", "timed_out", drip(CHUNKED, b"1\r\n \r\n")),
    ("drips its trailers", "timed_out", drip(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n")),
    ("says for ever that it goes on", "timed_out", flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    ("stops in its headers", "timed_out", lambda _: saying(b"HTTP/1.1 200 OK\r\nContent-")),
    ("sends less than it announced", "timed_out", anything(JSON + b"Content-Length: 50\r\n\r\n{}")),
    ("leaves in its body", "unreachable", and_leave(JSON + b"Content-Length: 50\r\n\r\n{}")),
]

HUGE: Final[list[Row]] = [
    ("never ends its body", "bad_answer", flood(JSON + b"\r\n", b" ")),
    ("never ends its chunks", "bad_answer", flood(CHUNKED, b"8\r\n        \r\n")),
    ("never ends a chunk's size", "bad_answer", flood(CHUNKED + b"1;", b"y")),
    ("never ends its status", "bad_answer", flood(b"HTTP/1.1 200 ", b"y")),
    ("never ends a header", "bad_answer", flood(b"HTTP/1.1 200 OK\r\nX: ", b"y")),
    ("never ends its headers", "bad_answer", flood(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")),
    ("announces 100 MB", "bad_answer", flood(JSON + b"Content-Length: 100000000\r\n\r\n", b" ")),
    ("sends a gzip bomb", "bad_answer", bomb),
    ("compresses the transfer", "bad_answer", and_leave(JSON + b"Transfer-Encoding: gzip\r\n\r\n\x1f\x8b")),
    ("names a compression twice", "bad_answer", body(b"x", Content_Encoding="gzip, gzip")),
]

HTTP: Final[list[Row]] = [
    ("redirects to itself", "bad_answer", status(302, Location="/v1/host")),
    ("redirects into the network", "bad_answer", status(307, Location="https://127.0.0.9:1/")),
    ("redirects to the cloud", "bad_answer", status(301, Location="http://169.254.169.254/")),
    ("redirects to a file", "bad_answer", status(302, Location="file:///etc/passwd")),
    ("redirects to nothing", "bad_answer", status(308, Location="https://[::1")),
    ("asks for a password", "bad_answer", status(401, WWW_Authenticate="Basic")),
    ("asks for a proxy's password", "bad_answer", status(407, Proxy_Authenticate="Basic")),
    ("answers HTTP 0.9", "bad_answer", and_leave(b'{"id": 1}')),
    ("answers HTTP/2", "bad_answer", and_leave(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")),
    ("has no body", "bad_answer", anything(b"HTTP/1.1 204 No Content\r\n\r\n")),
    ("has nothing new", "bad_answer", anything(b"HTTP/1.1 304 Not Modified\r\n\r\n")),
    ("has no such status", "bad_answer", anything(b"HTTP/1.1 999 \xff\xfe\r\nContent-Length: 0\r\n\r\n")),
    ("has a negative length", "bad_answer", and_leave(JSON + b"Content-Length: -1\r\n\r\n{}")),
    ("has two lengths", "bad_answer", and_leave(JSON + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}")),
    ("announces less than it sends", "bad_answer", anything(JSON + b"Content-Length: 2\r\n\r\n{}HTTP/1.1")),
    ("has a negative chunk", "bad_answer", anything(CHUNKED + b"-5\r\nabc")),
    ("has a chunk of no number", "unreachable", and_leave(CHUNKED + b"z\r\n{}")),
    ("has a chunk of 2^64", "unreachable", and_leave(CHUNKED + b"ffffffffffffffff\r\n{}")),
    ("answers a page", "bad_answer", anything(ok(b"<script>alert(1)</script>", "text/html"))),
    ("has a problem without a word", "bad_answer", anything(problem(400, ESCAPES))),
    ("has a problem of its own", "bad_manners", anything(problem(418, "bad_manners"))),
    ("disowns the server", "rejected_by_host", anything(problem(403, "not_owned"))),
    ("is always busy", "host_busy", anything(problem(503, "queue_full"))),
]

WORDS: Final[list[Row]] = [
    ("says nothing", "bad_answer", body(b"")),
    ("says null", "bad_answer", body(b"null")),
    ("says a list", "bad_answer", body(b"[{}]")),
    ("says two documents", "bad_answer", edited('{"id', '{}{"id')),
    ("says UTF-16", "bad_answer", body('{"id": "x"}'.encode("utf-16"))),
    ("says no UTF-8", "bad_answer", body(b'{"id": "\xff"}')),
    ("says NaN", "bad_answer", edited("0.125", "NaN")),
    ("says infinity", "bad_answer", edited("0.125", "1e999")),
    ("says a number of 60,000 digits", "bad_answer", edited('"cpus": 4', f'"cpus": {"9" * 60_000}')),
    ("says 2^64", "bad_answer", edited('"cpus": 4', f'"cpus": {2**64}')),
    ("nests lists too deeply", "bad_answer", body(b"[" * 60_000)),
    ("nests objects too deeply", "bad_answer", body(b'{"a":' * 12_000)),
    ("says its name twice", "bad_answer", edited('"cpus": 4', '"cpus": 4, "hostname": "another"')),
    ("says half of a character", "", host(hostname=f"{HALF}hv-01")),
    ("says its name as an object", "bad_answer", host(hostname={"a": 1})),
    ("says its libvirt as a list", "bad_answer", host(libvirt=[1])),
    ("says its memory as text", "bad_answer", host(memory="1")),
    ("says its processors as truth", "bad_answer", host(cpus=True)),
    ("says its load as a number", "bad_answer", host(load=1)),
    ("says its features as an object", "bad_answer", host(features={})),
    ("says its journal as a number", "bad_answer", host(journal_id=1)),
]

LIES: Final[list[Row]] = [
    ("says another identity", "bad_answer", host(id=str(uuid4()))),
    ("says its neighbour's identity", "bad_answer", lambda scene: host(id=str(scene.neighbour))(scene)),
    ("says its identity in capitals", "bad_answer", lambda scene: host(id=str(scene.id).upper())(scene)),
    ("has more memory than there is", "bad_answer", host(memory=2**60)),
    ("has a million domains", "bad_answer", listing(lambda: ok(b'{"domains":[%s{}]}' % (b"{}," * 10**6)))),
    ("has two million values", "bad_answer", listing(lambda: ok(b'{"x":[%s[]]}' % (b"[]," * 2 * 10**6)))),
    ("never ends its listing", "bad_answer", endless_listing(b'{"domains":[', b"{},")),
    ("has one domain twice", "bad_answer", domains(*[told_domain()] * 2)),
    ("has a domain with a path for its UUID", "bad_answer", domains(told_domain(uuid="../../etc/passwd"))),
    ("has a problem that writes to terminals", "libvirt_down", listing(trouble)),
]

# Guests speak through their daemon. Of the guest agent nothing is asked, so it has no answer.
GUESTS: Final[list[Row]] = [
    ("has a guest with an endless name", "bad_answer", endless_listing(b'{"domains":[{"name":"', b"n")),
    ("has a guest whose name is nothing", "", domains(told_domain(name="\x1b\x00"))),
    ("has a guest whose name writes to terminals", "", domains(told_domain(name=ESCAPES))),
    ("has a guest whose title writes to terminals", "", domains(told_domain(title=ESCAPES))),
    ("has a guest whose tag writes to terminals", "", domains(told_domain(metadata={"tags": [ESCAPES]}))),
    (
        "has a guest whose description writes to terminals",
        "",
        domains(told_domain(metadata={"description": ESCAPES})),
    ),
    (
        "has a guest with 257 tags",
        "bad_answer",
        domains(told_domain(metadata={"tags": [f"t{number}" for number in range(257)]})),
    ),
    ("writes to terminals by its own name", "", host(hostname=ESCAPES)),
]

STREAMS: Final[list[Row]] = [
    ("answers no WebSocket", "bad_answer", body(b"{}")),
    ("redirects a WebSocket", "bad_answer", status(302, Location="wss://127.0.0.1:1/")),
    (
        "agrees to another key",
        "bad_answer",
        anything(
            b"HTTP/1.1 101 -\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"
        ),
    ),
    ("agrees to what was not asked", "bad_answer", frames(then=b"Sec-WebSocket-Protocol: x\r\n")),
    (
        "compresses a WebSocket",
        "bad_answer",
        frames(then=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    ),
    ("drips its consent", "timed_out", drip(b"HTTP/1.1 101 -\r\n", b"X: y\r\n")),
    ("never ends its consent", "bad_answer", flood(b"HTTP/1.1 101 -\r\n", b"X: y\r\n")),
    ("sends garbage for frames", "bad_answer", frames(b"\xff" * 64)),
    ("sends text that is none", "bad_answer", frames(b"\x81\x02\xff\xfe")),
    ("sends masked frames", "bad_answer", frames(b"\x81\x82abcd\x00\x00")),
    ("sends a compressed frame", "bad_answer", frames(b"\xc1\x01\x00")),
    ("goes on with nothing", "bad_answer", frames(b"\x80\x00")),
    (
        "sends a control frame of 64 KB",
        "bad_answer",
        frames(b"\x89\x7f" + struct.pack("!Q", 65536) + bytes(65536)),
    ),
    ("announces a frame of 2^62", "bad_answer", frames(b"\x81\x7f" + struct.pack("!Q", 2**62))),
    ("never ends a message", "bad_answer", frames(b"\x01\x01x", forever=b"\x00\x7e\x40\x00" + b"x" * 16384)),
    ("never ends a message of nothing", "bad_answer", frames(b"\x01\x00", forever=b"\x00\x00")),
    ("never answers a ping", "timed_out", frames()),
    ("pings for ever and reads nothing", "bad_answer", frames(forever=b"\x89\x7d" + b"p" * 125)),
    ("changes its keys for ever on a WebSocket", "timed_out", key_updates, logging_its_keys),
]

CALLS: Final = [Behaviour(*row) for row in (*TLS, *SLOW, *HUGE, *HTTP, *WORDS, *LIES, *GUESTS)]
FOLLOWED: Final = [Behaviour(*row) for row in STREAMS]
