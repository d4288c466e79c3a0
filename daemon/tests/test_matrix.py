"""Every route, in every state, by everybody, with every method: each answer is the one in ``matrix.txt``."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import wires
from adopting import Adopter, new_code
from authority import HOUR, Authority, Pair
from doors import NONCE, Answer, Host, Session, World

from virshmanagerd import certificates
from virshmanagerd.attempts import Attempts
from virshmanagerd.routes import ROUTES

TABLE = Path(__file__).with_name("matrix.txt")
STATES = ("unclaimed", "invited", "enrolling", "adopting", "owned")
PEOPLE = ("nobody", "foreign", "host", "expired", "other", "owner")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = {route.pattern for route in ROUTES}
# Rows that are no route: a GET that asks for a WebSocket, what has no route, methods that a path has not.
UPGRADE, NOWHERE, OTHER = "UPGRADE", ("GET", "/v1/nowhere"), ("OTHER", "*")
NO_UUID = "00000000-0000-4000-8000-000000000000"
NONCE_TEXT = base64.b64encode(NONCE).decode()

Row = tuple[str, str]


def table() -> dict[tuple[str, str], dict[Row, str]]:
    """The answers by state and person, then by method and path."""
    answers: dict[tuple[str, str], dict[Row, str]] = {(state, who): {} for state in STATES for who in PEOPLE}
    row: Row = ("", "")
    for line in TABLE.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            method, path = line.split()
            row = (method, path)
            continue
        state, *cells = line.split()
        for who, answer in zip(PEOPLE, cells, strict=True):
            assert row not in answers[state, who], f"{row} has two lines for {state}"
            answers[state, who][row] = answer
    return answers


EXPECTED = table()


def rows() -> list[Row]:
    """What the table must have, from the router itself."""
    streams = [(UPGRADE, route.pattern) for route in ROUTES if route.stream]
    return [*((route.method, route.pattern) for route in ROUTES), *streams, NOWHERE, OTHER]


@dataclass
class Stage:
    """Hosts in each state. ``cast`` says which certificate each person shows."""

    world: World
    authority: Authority
    cast: dict[str, Pair | None]
    hosts: dict[str, Host] = field(default_factory=dict)

    def host(self, state: str) -> Host:
        """A host in this state; the same one until it is given up."""
        make: dict[str, Callable[[], Host]] = {
            "unclaimed": self.world.host,
            "invited": lambda: self.world.host(self.authority),
            "enrolling": self._enrolling,
            "adopting": self._adopting,
            "owned": lambda: self.world.owned(self.authority),
        }
        if state not in self.hosts:
            self.hosts[state] = make[state]()
            # How often a source may try is not asked here.
            self.hosts[state].daemon.attempts = Attempts(10**6, 1e-6)
        return self.hosts[state]

    def _enrolling(self) -> Host:
        host = self.world.host(self.authority)
        with host.session(self.cast["owner"]) as session:
            assert session.join(self.authority).status == 200
        return host

    def _adopting(self) -> Host:
        host = self.world.host()
        adopter = Adopter(host, self.authority, new_code(host))
        assert (adopter.start().status, adopter.prove().status) == (200, 200)
        return host


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, other_authority: Authority
) -> Iterator[Stage]:
    key = certificates.new_key()
    cast = {
        "nobody": None,
        "foreign": other_authority.server(authority.server_id),
        "host": Pair(authority.host(key.public_key()), key),
        "expired": authority.server(start=-2 * HOUR, end=-HOUR),
        "other": authority.server("another-server"),
        "owner": authority.server(),
    }
    world = World(tmp_path_factory.mktemp("matrix"))
    yield Stage(world, authority, cast)
    world.close()


@dataclass
class Caller:
    """One person before hosts in one state."""

    stage: Stage
    state: str
    who: str
    session: Session | None = None
    refused: bool = False

    def answer(self, row: Row) -> str:
        """The answer to a row: a problem's word, a status, or ``tls`` when TLS refuses."""
        if row != OTHER:
            return self._ask(*row)
        found = {
            self._ask(method, path) for path in PATHS for method in METHODS if not has_route(method, path)
        }
        return " ".join(sorted(found))

    def hang_up(self) -> None:
        if self.session:
            self.session.__exit__()
        self.session = None

    def _ask(self, method: str, path: str) -> str:
        if self.refused:
            return "tls"  # TLS judges before it hears what is asked: one handshake tells for all
        try:
            answer = self._request(method, path)
        except ssl.SSLError:
            self.refused = True
            return "tls"
        if method != "GET" and answer.status == http.HTTPStatus.OK:
            del self.stage.hosts[self.state]  # it may be in another state now
            self.hang_up()
        elif answer.headers.get("Connection", "keep-alive") != "keep-alive":
            self.hang_up()  # it said that this was all, or speaks no HTTP any more
        return _word(answer)

    def _request(self, method: str, path: str) -> Answer:
        host = self.stage.host(self.state)
        if self.session is None:
            self.session = host.session(self.stage.cast[self.who])
        body = json.dumps(self._body(path)).encode()
        if method == UPGRADE:
            return self.session.request("GET", place(path), headers=wires.UPGRADE)
        return self.session.request(method, place(path), None if method in {"GET", "HEAD"} else body)

    def _body(self, path: str) -> dict[str, object]:
        """A body that gets as far as it can, without what only the protocol's next step knows."""
        known: dict[str, dict[str, object]] = {
            "/v1/enrol/join": {"key_id": self.stage.authority.key_id, "server_nonce": NONCE_TEXT},
            "/v1/enrol/code/start": {"server_nonce": NONCE_TEXT},
            "/v1/enrol/finish": {"certificate": "none", "ca": "none", "proof": NONCE_TEXT},
            "/v1/pki/certificate": {"certificate": "none"},
            "/v1/operations/acknowledge": {"ids": []},
        }
        return known.get(path, {})


def place(path: str) -> str:
    """A path as a request has it."""
    return path.replace("{uuid}", NO_UUID).replace("{id}", NO_UUID)


def has_route(method: str, path: str) -> bool:
    """Whether a row of its own tells of this."""
    return any(route.method == method and route.regex.fullmatch(place(path)) for route in ROUTES)


def _word(answer: Answer) -> str:
    if answer.headers.get("Content-Type") != "application/problem+json":
        return str(answer.status)
    # The answer to HEAD has no body.
    return str(answer.json["type"]) if answer.body else http.HTTPStatus(answer.status).name.lower()


def test_every_route_has_a_row_for_every_state_and_person() -> None:
    for column in EXPECTED.values():
        assert set(column) == set(rows())


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("state", STATES)
def test_the_answers(stage: Stage, state: str, who: str) -> None:
    expected, caller = EXPECTED[state, who], Caller(stage, state, who)
    try:
        assert {row: caller.answer(row) for row in expected} == expected
    finally:
        caller.hang_up()
