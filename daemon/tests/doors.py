"""Hosts that run, for tests: real daemons behind real sockets on one engine, and a client for them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import itertools
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from authority import Authority, Pair
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from virshmanagerd import certificates, enrolment
from virshmanagerd.config import Config
from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver
from virshmanagerd.engine import Engine

NONCE = b"n" * 32
WELL_KNOWN = "/.well-known/virshmanager"
_names = itertools.count()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition, and fail when it does not come."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause.wait(0.01)


@dataclass
class Answer:
    """What a client received."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass
class Host:
    """A daemon with its address. ``ca`` is what the client will believe, or None for anything."""

    daemon: Daemon
    address: tuple[str, int]
    directory: Path

    def context(self, client: Pair | None = None) -> ssl.SSLContext:
        """A client's context that believes any host."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if client:
            context.load_cert_chain(client.save(self.directory / f"client-{next(_names)}.pem"))
        return context

    def plain(self, source: str | None = None) -> socket.socket:
        """A TCP connection."""
        where = (source, 0) if source else None
        sock = socket.create_connection(self.address, timeout=10, source_address=where)
        # As HTTP clients do: else the first request waits 40 ms for a delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def connect(self, client: Pair | None = None, source: str | None = None) -> ssl.SSLSocket:
        """A TLS connection."""
        return self.context(client).wrap_socket(self.plain(source))

    def session(self, client: Pair | None = None, source: str | None = None) -> Session:
        """A connection that takes requests."""
        return Session(self, self.connect(client, source))

    def get(self, path: str, client: Pair | None = None) -> Answer:
        """One GET on a connection of its own."""
        with self.session(client) as session:
            return session.request("GET", path)

    def post(self, path: str, body: object, client: Pair | None = None) -> Answer:
        """One POST on a connection of its own."""
        with self.session(client) as session:
            return session.request("POST", path, json.dumps(body).encode())

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        """The host's public key, as its certificate shows it."""
        with self.connect() as sock:
            der = sock.getpeercert(binary_form=True)
        assert der
        key = x509.load_der_x509_certificate(der).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return key


class Session(contextlib.AbstractContextManager["Session"]):
    """Requests on one connection."""

    def __init__(self, host: Host, sock: ssl.SSLSocket) -> None:
        self.socket = sock
        self._http = http.client.HTTPConnection(*host.address)
        self._http.sock = sock

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request, and read the answer."""
        self._http.request(method, path, body, headers or {})
        response = self._http.getresponse()
        with response:
            return Answer(response.status, dict(response.headers), response.read())

    def join(self, authority: Authority, key_id: str | None = None) -> Answer:
        """Begin the enrolment."""
        body = {"key_id": key_id or authority.key_id, "server_nonce": base64.b64encode(NONCE).decode()}
        return self.request("POST", "/v1/enrol/join", json.dumps(body).encode())

    def finish(self, certificate: x509.Certificate, ca: str) -> Answer:
        """End the enrolment."""
        body = {"certificate": certificates.certificate_to_pem(certificate), "ca": ca}
        return self.request("POST", "/v1/enrol/finish", json.dumps(body).encode())

    def ended(self) -> bool:
        """Say whether the daemon has closed the connection; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


@dataclass
class World:
    """An engine with hosts."""

    directory: Path
    engine: Engine = field(default_factory=Engine)
    hosts: list[Host] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.engine.run, daemon=True)
        self.thread.start()

    def config(self, number: int = 0) -> Config:
        """The settings of a host."""
        directory = self.directory / f"host-{number}"
        directory.mkdir(exist_ok=True)
        machine_id = directory / "machine-id"
        if not machine_id.exists():
            machine_id.write_text(f"{number:032x}\n")
        return Config(
            uri="test:///default",
            state_dir=directory / "state",
            join_file=directory / "join.json",
            machine_id_file=machine_id,
        )

    def host(self, authority: Authority | None = None, config: Config | None = None) -> Host:
        """Start a host; with an authority it has a join key."""
        config = config or self.config(len(self.hosts))
        if authority:
            authority.drop(config.join_file)
        daemon = Daemon(config, Driver(config.uri))
        listener = socket.create_server(("127.0.0.1", 0))
        host = Host(daemon, listener.getsockname(), config.state_dir.parent)
        self.engine.add(daemon, listener)
        self.hosts.append(host)
        return host

    def owned(self, authority: Authority, config: Config | None = None) -> Host:
        """Start a host, and make it the authority's, by the protocol."""
        host = self.host(authority, config)
        enrol(host, authority)
        return host

    def close(self) -> None:
        """Stop the engine."""
        self.engine.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


def enrol(host: Host, authority: Authority, server: Pair | None = None) -> x509.Certificate:
    """Enrol a host as a server does, its proof checked."""
    with host.session(server or authority.server()) as session:
        certificate = authority.host(host.key)
        check_proof(host, authority, session.join(authority).json)
        answer = session.finish(certificate, authority.pem)
        assert (answer.status, answer.json) == (200, {"state": "owned"})
    return certificate


def check_proof(host: Host, authority: Authority, answer: dict[str, str]) -> None:
    """Compute the host's proof with the key that TLS showed, and compare."""
    key = host.key
    context = enrolment.Context(
        method="join",
        server_id=authority.server_id,
        daemon_id=certificates.host_id(key),
        server_nonce=NONCE,
        daemon_nonce=base64.b64decode(answer["daemon_nonce"]),
        host_spki=hashlib.sha256(certificates.spki(key)).digest(),
        ca_spki=enrolment.ca_spki(authority.certificate),
    )
    csr = x509.load_pem_x509_csr(answer["csr"].encode())
    der = csr.public_bytes(serialization.Encoding.DER)
    expected = enrolment.host_proof(enrolment.join_key(authority.secret), context, der)
    assert base64.b64decode(answer["proof"]) == expected
    assert csr.public_key() == key
