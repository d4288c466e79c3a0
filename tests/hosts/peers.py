"""Peers on the loopback that answer, hang, refuse and lie: small servers on real sockets."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.client import parse_headers
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hosts.trust import keys

Talk = Callable[[socket.socket], None]
Answers = Callable[[str], bytes]


class Peer:
    """Listens on a free port of 127.0.0.1; each connection is given to `talk` in a thread of its own."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None, ip: str = "127.0.0.1") -> None:
        self._talk = talk
        self._context = context
        self._listener = socket.create_server((ip, 0), backlog=256)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.connections = 0
        self.ip, self.port = self._listener.getsockname()[:2]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._sockets:
            _hang_up(connection)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            self._talk(connection)
        except (OSError, ValueError):
            return  # the other side has had enough
        finally:
            _hang_up(connection)
            connection.close()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def saying(data: bytes) -> Talk:
    """Say this at once, and then nothing until the other side leaves."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(data)
        while connection.recv(4096):
            pass

    return talk


def http(answer: bytes | Answers) -> Talk:
    """Answer each request with these bytes, or with `answer(path)`, on a connection that is kept."""

    def talk(connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while line := stream.readline():
                headers = parse_headers(stream)
                stream.read(int(headers.get("content-length", 0)))
                path = line.split(b" ")[1].decode()
                connection.sendall(answer if isinstance(answer, bytes) else answer(path))

    return talk


def ok(body: object, media_type: str = "application/json", **headers: str) -> bytes:
    """A good answer; `body` is bytes, or becomes JSON."""
    return response(200, body, {"Content-Type": media_type, **headers})


def problem(status: int, word: str) -> bytes:
    return response(status, {"type": word, "title": word}, {"Content-Type": "application/problem+json"})


def response(status: int, body: object, headers: Mapping[str, str]) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def server_context(
    folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, *, client_ca: str = ""
) -> ssl.SSLContext:
    """TLS of a peer that shows this certificate; with `client_ca` (PEM) it demands one in return."""
    file = folder / f"{certificate.serial_number:x}.pem"
    file.write_bytes(keys.key_to_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.num_tickets = 0
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca)
    return context


def identity_of(key: ec.EllipticCurvePrivateKey) -> str:
    return str(keys.daemon_id(keys.spki(key.public_key())))
