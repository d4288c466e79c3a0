"""The Agent: what it refuses to believe, how long it waits, and what its errors say."""

import gzip
import socket
import ssl
import struct
import threading
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import time_machine
from cryptography.hazmat.primitives.serialization import Encoding
from pytest_django.fixtures import Settings

from hosts import trust
from hosts.agent import agent_of, calls, hang_up, transport
from hosts.agent.transport import Timeouts
from hosts.errors import (
    AgentError,
    CertificateOutOfDate,
    CircuitOpen,
    GivenUp,
    HostBusy,
    OutsideRanges,
    ProblemAnswer,
    ProtocolError,
    RejectedByHost,
    TimedOut,
    Unreachable,
    WrongIdentity,
)
from hosts.models import Host
from tests.signing import another_authority, csr

from .factories import told_domain, told_host
from .owned import Owned
from .peers import Peer, http, ok, problem, response, saying, self_signed, server_context

pytestmark = pytest.mark.usefixtures("dialable")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "READ", Timeouts(connect=0.5, read=0.4, total=0.8))


@pytest.mark.parametrize("trust_word", ["denied", "retired"])
def test_a_host_that_was_given_up_is_not_spoken_to(trust_word: str) -> None:
    with pytest.raises(GivenUp) as caught:
        agent_of(Host(uuid=uuid4(), address="127.0.0.1", trust=trust_word))
    assert caught.value.problem == trust_word


def test_nothing_outside_the_ranges_is_dialled(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosts.guards._guards", [])
    with owned.served(http(ok(told_host(owned.id)))) as (agent, peer):
        with pytest.raises(OutsideRanges):
            agent.host()
        assert peer.connections == 0


def test_another_host_of_ours_does_not_answer_for_it(owned: Owned, tmp_path: Path) -> None:
    other = Owned(tmp_path, owned.client)
    with (
        owned.served(http(ok(told_host(owned.id))), other.context()) as (agent, _),
        pytest.raises(WrongIdentity),
    ):
        agent.host()


def test_a_certificate_of_nobody_is_refused(owned: Owned, tmp_path: Path) -> None:
    context = server_context(tmp_path, owned.key, self_signed(owned.key))
    with owned.served(http(ok(told_host(owned.id))), context) as (agent, _), pytest.raises(WrongIdentity):
        agent.host()


def test_a_certificate_of_another_authority_is_refused(owned: Owned, tmp_path: Path) -> None:
    other = another_authority(tmp_path / "other")
    context = server_context(tmp_path, owned.key, other.sign_host(csr(owned.key)))
    with owned.served(http(ok(told_host(owned.id))), context) as (agent, _), pytest.raises(WrongIdentity):
        agent.host()


def test_a_server_certificate_does_not_pass_for_a_host(owned: Owned, tmp_path: Path) -> None:
    certificate = owned.client.authority.sign_server(csr(owned.key), owned.client.server_id)
    context = server_context(tmp_path, owned.key, certificate)
    with owned.served(http(ok(told_host(owned.id))), context) as (agent, _), pytest.raises(WrongIdentity):
        agent.host()


@pytest.mark.parametrize("days", [-1, 31])
def test_a_certificate_out_of_date_is_told_apart(owned: Owned, days: int) -> None:
    with time_machine.travel(time.time() - days * 86400, tick=True):
        context = owned.context()
    with (
        owned.served(http(ok(told_host(owned.id))), context) as (agent, _),
        pytest.raises(CertificateOutOfDate),
    ):
        agent.host()


def test_a_host_that_refuses_our_certificate_is_not_called_down(owned: Owned, tmp_path: Path) -> None:
    other = another_authority(tmp_path / "other")
    certificate = owned.client.authority.sign_host(csr(owned.key))
    context = server_context(tmp_path, owned.key, certificate, client_ca=other.pem)
    with owned.served(http(ok(told_host(owned.id))), context) as (agent, _), pytest.raises(RejectedByHost):
        agent.host()


def test_a_reset_after_the_handshake_is_a_refusal_too(owned: Owned) -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with owned.served(reset) as (agent, peer):
        with pytest.raises(RejectedByHost):
            agent.host()
        assert peer.connections == 2


def test_a_daemon_that_dies_in_its_answer_is_unreachable(owned: Owned) -> None:
    def die(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(ok(told_host(owned.id))[:40])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with owned.served(die) as (agent, _), pytest.raises(Unreachable):
        agent.host()


def test_tls_1_2_is_refused(owned: Owned) -> None:
    context = owned.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with owned.served(http(ok(told_host(owned.id))), context) as (agent, _), pytest.raises(AgentError):
        agent.host()


def test_the_public_authorities_are_never_trusted(owned: Owned) -> None:
    with owned.served(http(ok(told_host(owned.id)))) as (agent, _):
        agent.host()
    (context,) = transport._contexts.values()
    (trusted,) = context.get_ca_certs(binary_form=True)
    assert trusted == owned.client.authority.certificate.public_bytes(Encoding.DER)


def test_a_closed_port_is_unreachable(owned: Owned) -> None:
    with Peer(saying(b"")) as peer:
        host = owned.host(peer)
    with pytest.raises(Unreachable):
        agent_of(host).host()


@pytest.mark.usefixtures("hasty")
def test_silence_ends_with_the_read_timeout(owned: Owned) -> None:
    with owned.served(saying(b"")) as (agent, _):
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            agent.host()
        assert time.monotonic() - begun < 1.5


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("where", ["head", "body"])
def test_a_slow_drip_ends_with_the_deadline(owned: Owned, where: str) -> None:
    stop = threading.Event()
    answer = ok(told_host(owned.id), **{"X-Filler": "y" * 200})
    start = 0 if where == "head" else answer.index(b"\r\n\r\n") + 4

    def drip(connection: socket.socket) -> None:
        connection.sendall(answer[:start])
        for byte in answer[start:]:
            connection.sendall(bytes([byte]))
            if stop.wait(0.05):
                return

    with owned.served(drip) as (agent, _):
        begun = time.monotonic()
        with pytest.raises(TimedOut):
            agent.host()
        assert time.monotonic() - begun < 1.5
        stop.set()


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"x" * 70_000),
        response(200, b"", {"Content-Type": "application/json", "Transfer-Encoding": "gzip"}),
        ok(gzip.compress(b"{}"), **{"Content-Encoding": "gzip"}),
        ok(b"<html>", "text/html"),
        ok(b"{}"),
        ok(b"[" * 60_000),
        ok(told_host(uuid4())),
        response(302, b"", {"Location": "https://127.0.0.1:1/"}),
        response(500, b"oops", {"Content-Type": "text/plain"}),
        response(503, b"oops", {"Content-Type": "application/problem+json"}),
        problem(400, "Not A Word"),
        response(302, b"", {"Location": "https://[::1"}),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 200 OK\r\n" + b"X-Head: x\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 999 \xff\xfe\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
    ],
)
def test_what_is_not_the_contract_is_a_protocol_error(owned: Owned, answer: bytes) -> None:
    with owned.served(http(answer)) as (agent, _), pytest.raises(ProtocolError):
        agent.host()


def test_an_endless_answer_is_cut(owned: Owned) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with owned.served(endless) as (agent, _), pytest.raises(ProtocolError):
        agent.host()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (problem(503, "queue_full"), HostBusy),
        (problem(504, "hypervisor_busy"), HostBusy),
        (problem(403, "not_owned"), RejectedByHost),
        (problem(404, "no_such_domain"), ProblemAnswer),
        (problem(409, "clock_skew"), ProblemAnswer),
    ],
)
def test_problems_become_errors_of_their_type(
    owned: Owned, answer: bytes, expected: type[AgentError]
) -> None:
    with owned.served(http(answer)) as (agent, _), pytest.raises(expected):
        agent.host()


def test_a_fifth_call_at_once_is_refused_at_once(owned: Owned) -> None:
    arrived, go = threading.Semaphore(0), threading.Event()

    def answer(path: str) -> bytes:
        arrived.release()
        go.wait(10)
        return ok(told_host(owned.id))

    with owned.served(http(answer)) as (agent, _):
        threads = [threading.Thread(target=agent.host) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert all(arrived.acquire(timeout=10) for _ in threads)
        begun = time.monotonic()
        with pytest.raises(HostBusy):
            agent.host()
        assert time.monotonic() - begun < 0.5
        go.set()
        for thread in threads:
            thread.join(10)


def test_the_breaker_spares_a_dead_host_and_a_probe_tries_all_the_same(owned: Owned) -> None:
    with Peer(saying(b"")) as peer:
        host = owned.host(peer)
    for _ in range(3):
        with pytest.raises(Unreachable):
            agent_of(host).host()
    with pytest.raises(CircuitOpen):
        agent_of(host).host()
    with pytest.raises(Unreachable) as caught:
        agent_of(host, insist=True).host()
    assert not isinstance(caught.value, CircuitOpen)
    with Peer(http(ok(told_host(owned.id))), owned.context()) as well:
        agent_of(host, at=(well.ip, well.port), insist=True).host()
        agent_of(host, at=(well.ip, well.port)).host()
        hang_up(host)


def test_cookies_and_the_environment_change_nothing(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    heads: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            heads.append(data)
            connection.sendall(ok(told_host(owned.id), **{"Set-Cookie": "session=1"}))

    with owned.served(talk) as (agent, _):
        agent.host()
        agent.host()
    assert len(heads) == 2
    assert b"session" not in heads[1]
    assert b"Accept-Encoding: identity" in heads[1]


def test_one_connection_is_kept_and_a_closed_one_is_dialled_again(owned: Owned) -> None:
    with owned.served(http(ok(told_host(owned.id)))) as (agent, peer):
        for _ in range(5):
            assert agent.host()["hostname"] == "hv-01"
        assert peer.connections == 1

    def once(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(ok(told_host(owned.id)))

    with owned.served(once) as (agent, peer):
        for _ in range(3):
            agent.host()
        assert peer.connections == 3


def test_a_renewed_client_certificate_is_shown_without_a_restart(tmp_path: Path, settings: Settings) -> None:
    settings.VIRSHMANAGER_HOME = tmp_path
    with time_machine.travel(time.time() - timedelta(days=4).total_seconds(), tick=True):
        owned = Owned(tmp_path, trust.server_identity())
    shown: list[bytes | None] = []

    def talk(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        shown.append(connection.getpeercert(binary_form=True))
        http(ok(told_host(owned.id)))(connection)

    with owned.served(talk) as (agent, _):
        with time_machine.travel(time.time() - timedelta(days=3.9).total_seconds(), tick=True):
            session = agent.line._current_session()
        agent.host()
        assert agent.line._current_session() is not session
    assert shown == [trust.server_identity().certificate.public_bytes(Encoding.DER)]
    assert trust.server_identity().fingerprint != owned.client.fingerprint


def test_calls(owned: Owned) -> None:
    domain = told_domain(name="db-1")
    domain_id = UUID(domain["uuid"])
    answers: dict[str, bytes] = {
        "/v1/domains": ok({"event_epoch": "1", "domains": [domain]}),
        f"/v1/domains/{domain_id}": ok(domain | {"disks": [{"target": "vda"}]}),
        f"/v1/domains/{domain_id}/xml?which=inactive": ok(b"<domain/>", "application/xml"),
        f"/v1/domains/{domain_id}/screenshot": ok(b"\x89PNG", "image/png"),
    }
    with owned.served(http(answers.__getitem__)) as (agent, _):
        assert [found["name"] for found in agent.domains()] == ["db-1"]
        assert agent.domain(domain_id)["disks"][0]["target"] == "vda"
        assert agent.xml(domain_id, "inactive") == "<domain/>"
        assert agent.screenshot(domain_id) == b"\x89PNG"


def test_the_answer_for_another_domain_is_refused(owned: Owned) -> None:
    with owned.served(http(ok(told_domain()))) as (agent, _), pytest.raises(ProtocolError):
        agent.domain(uuid4())
