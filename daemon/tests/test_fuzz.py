"""Requests and bytes that nobody wrote, by the owner and by a stranger: answers and refusals, never a defect.

A few that are always the same, or as many as FUZZ_REQUESTS says, at random (``script/fuzz``).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

import h11
import pytest
import wires
from authority import Authority, Pair
from doors import WELL_KNOWN, Answer, Host, Session, World
from hypervisors import running
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from virshmanagerd.attempts import Attempts
from virshmanagerd.exchange import Exchange
from virshmanagerd.operations.verbs import VERBS
from virshmanagerd.routes import ROUTES
from virshmanagerd.web import Problem

WANTED: Final = int(os.environ.get("FUZZ_REQUESTS", "0"))
ALWAYS: Final = 600
SLOWEST: Final = 10.0
# What the hypervisor cannot, or not now, is no defect: libvirt's test driver has no screens.
FAIR: Final = {"not_supported", "queue_full"}
# It would end the ownership, and with it all that is tried.
LEFT_OUT: Final = "/v1/owner/forget"
DOMAIN: Final = "6695eb01-f6a4-8304-79aa-97f2502e193f"  # of test:///default

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"])
NAMES = (
    st.sampled_from([DOMAIN, DOMAIN.upper(), "00000000-0000-4000-8000-000000000000", ".", ".."]) | st.text()
)
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
# What the contract has, each of its fields right or anything else.
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "verb": st.sampled_from([*VERBS]) | JUNK,
    "target": st.fixed_dictionaries({"type": st.sampled_from(["domain", "host"]), "uuid": NAMES}) | JUNK,
    "args": st.dictionaries(st.sampled_from(["enabled", "title", "xml", "tags", "timeout"]), JUNK) | JUNK,
    "deadline": st.integers(0, 30) | JUNK,
    "precondition": st.dictionaries(st.sampled_from(["xml_hash", "state"]), JUNK) | JUNK,
    "journal_id": NAMES | JUNK,
    "ids": st.lists(NAMES, max_size=3) | JUNK,
    "certificate": JUNK,
    "ca": JUNK,
    "key_id": NAMES | JUNK,
    "server_id": NAMES | JUNK,
    "server_nonce": st.just("bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=") | JUNK,
    "proof": JUNK,
}
BODIES = st.fixed_dictionaries({}, optional=FIELDS).map(lambda body: json.dumps(body).encode())
QUERIES = st.dictionaries(st.sampled_from(["which", "mode", "after", "x"]), st.text(max_size=20), max_size=3)
HEADERS: st.SearchStrategy[dict[str, str]] = (
    st.just({})
    | st.just(wires.UPGRADE)
    | st.dictionaries(
        st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True),
        st.from_regex(r"[!-~\xa0-\xff]{0,40}", fullmatch=True),
        max_size=3,
    )
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes | None, dict[str, str]]:
    """A well-formed request to a route: method, target, body, headers."""
    route = draw(st.sampled_from([route for route in ROUTES if route.pattern != LEFT_OUT]))
    path = route.pattern.format(uuid=_quoted(draw(NAMES)), id=_quoted(draw(NAMES)))
    method = draw(st.just(route.method) | METHODS)
    query = urlencode(draw(QUERIES), errors="replace")
    body = draw(
        st.none() | BODIES | JUNK.map(lambda junk: json.dumps(junk).encode()) | st.binary(max_size=200)
    )
    return method, f"{path}?{query}", body, draw(HEADERS)


def _quoted(name: str) -> str:
    return quote(name, safe="", errors="replace")


# Pieces of HTTP in any order, so that some of it is nearly right.
PIECES = st.sampled_from(
    [
        *(b"GET ", b"POST ", b"PUT ", b"PRI * ", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9"),
        *(b"/v1/host", b"/v1/enrol/join", b"/.well-known/virshmanager", b"?", b"%00"),
        *(b"\r\n", b"\n", b"\r\n\r\n", b"{}", b"0\r\n\r\n", b": x", b" x: y", b"\x00", b"\xff"),
        *(b"Host: h", b"Host:", b"Content-Length: 2", b"Content-Length: -1", b"Content-Length: " + b"9" * 20),
        *(
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"Upgrade: websocket",
            b"Expect: 100-continue",
        ),
    ]
)
BYTES = st.lists(PIECES | st.binary(max_size=30), max_size=25).map(b"".join)
REQUEST = b"POST /v1/enrol/join HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
SPOILED = st.tuples(st.integers(0, len(REQUEST)), st.integers(0, 4), BYTES).map(
    lambda cut: REQUEST[: cut[0]] + cut[2] + REQUEST[cut[0] + cut[1] :]
)


def budget(parts: int) -> settings:
    """One part of so many."""
    return settings(
        max_examples=(WANTED or ALWAYS) // parts,
        derandomize=not WANTED,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@dataclass
class Caller:
    """Somebody with a host, and what came of what he sent."""

    host: Host
    pair: Pair | None
    sent: int = 0
    slowest: float = 0.0
    answers: Counter[int] = field(default_factory=Counter)
    session: Session | None = None

    def ask(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> None:
        """Send a request, on the connection of the last one if it is still there."""
        self.session = self.session or self.host.session(self.pair)
        begun = time.monotonic()
        answer = self.session.request(method, target, body, headers)
        self._note(answer, time.monotonic() - begun)
        if answer.headers.get("Connection", "keep-alive") != "keep-alive":
            self.hang_up()

    def say(self, data: bytes) -> None:
        """Send these bytes on a connection of their own, and read an answer if they are worth one."""
        begun = time.monotonic()
        with self.host.connect(self.pair) as sock, contextlib.suppress(ssl.SSLError, ConnectionError):
            sock.sendall(data)
            if _deserves_an_answer(data):
                self._note(_answer(sock), time.monotonic() - begun)
                return
        self.sent += 1

    def hang_up(self) -> None:
        """End the connection."""
        if self.session:
            self.session.__exit__()
        self.session = None

    def _note(self, answer: Answer, seconds: float) -> None:
        self.sent += 1
        self.answers[answer.status] += 1
        self.slowest = max(self.slowest, seconds)
        assert answer.status < 500 or answer.json["type"] in FAIR, answer

    def conclude(self) -> None:
        """The daemon is as well as before."""
        self.hang_up()
        assert self.slowest < SLOWEST
        with self.host.session(self.pair) as session:
            assert session.request("GET", WELL_KNOWN).status == 200


def _deserves_an_answer(data: bytes) -> bool:
    """Whether these bytes are a request, or can become none. For the rest of one the daemon waits."""
    exchange = Exchange()
    if not data:
        return False
    exchange.feed(data)
    try:
        return exchange.next_request() is not None
    except Problem:
        return True


def _answer(sock: ssl.SSLSocket) -> Answer:
    """Read one answer, as strictly as h11 does."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    status, body = 0, b""
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(sock.recv(65536))
        elif isinstance(event, h11.InformationalResponse | h11.Response):
            status = event.status_code
            if status == 101:
                return Answer(status, {}, b"")
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return Answer(status, {}, body)


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """What the daemon has logged as its own failure."""
    found: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    ear = Ear(logging.ERROR)
    logging.getLogger().addHandler(ear)
    yield found
    logging.getLogger().removeHandler(ear)
    assert not found


@pytest.fixture(params=["owner", "stranger"])
def caller(
    request: pytest.FixtureRequest,
    world: World,
    authority: Authority,
    errors: list[str],
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Caller]:
    """The owner of a host, or a stranger before one that waits for a server."""
    owns = request.param == "owner"
    host = world.owned(authority) if owns else world.host(authority)
    host.daemon.attempts = Attempts(10**9, 1e-9)
    with running(host.daemon.driver):
        found = Caller(host, authority.server() if owns else None)
        yield found
        found.conclude()
    if WANTED:
        with capsys.disabled():
            sys.stdout.write(f"\n{found.sent} by the {request.param}, answered {dict(found.answers)}\n")


@pytest.mark.timeout(7200)
def test_requests(caller: Caller) -> None:
    @budget(4)
    @given(requests())
    def each(request: tuple[str, str, bytes | None, dict[str, str]]) -> None:
        caller.ask(*request)

    each()


@pytest.mark.timeout(7200)
def test_bytes(caller: Caller) -> None:
    @budget(4)
    @given(BYTES | SPOILED)
    def each(data: bytes) -> None:
        caller.say(data)

    each()
