"""The test of a connection names the hop that fails: each against a real socket that fails or lies there."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from django.utils import timezone
from rest_framework.test import APIClient

from hosts import services, strangers, trust
from hosts.agent import HopReport, calls, hang_up, hops, walk
from hosts.agent.transport import Timeouts
from hosts.choices import Trust
from hosts.errors import NotPossible
from hosts.models import Host, HostCertificate
from hosts.trust import ClientIdentity, keys

from .factories import a_host, told_host
from .owned import Owned
from .peers import Answers, Peer, Talk, http, ok, problem, saying, self_signed, server_context

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("dialable")]
WELL_KNOWN = "/.well-known/virshmanager"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "READ", Timeouts(connect=0.5, read=0.4, total=0.8))
    monkeypatch.setattr(hops, "HANDSHAKE_SECONDS", 0.6)
    monkeypatch.setattr(strangers, "CONNECT_TIMEOUT", 0.3)


def host_of(owned: Owned, peer: Peer, **more: Any) -> Host:
    pinned = keys.fingerprint(owned.key.public_key())
    return a_host(uuid=owned.id, address=peer.ip, port=peer.port, public_key_sha256=pinned, **more)


@contextmanager
def served(owned: Owned, talk: Talk, context: ssl.SSLContext | None = None, **more: Any) -> Iterator[Host]:
    with Peer(talk, context or owned.context()) as peer:
        host = host_of(owned, peer, **more)
        yield host
        hang_up(host)


def well(owned: Owned, *, api: tuple[str, ...] = ("1",), **told: Any) -> Answers:
    """What a well daemon answers, but for what a test changes."""
    identity = ok({"product": "virshmanager", "id": str(owned.id), "state": "owned", "api": list(api)})
    facts = ok(told_host(owned.id, **told))
    return lambda path: identity if path == WELL_KNOWN else facts


def failure(host: Host) -> HopReport:
    """The hop that failed. What comes before it was passed, and behind it nothing was tried."""
    reports = walk(host, trust.server_identity())
    outcomes = [report.outcome.value for report in reports]
    at = outcomes.index("failed")
    assert set(outcomes[:at]) <= {"passed", "noted"}
    assert set(outcomes[at + 1 :]) <= {"untried"}
    assert reports[at].detail
    return reports[at]


def failed(host: Host) -> tuple[str, str]:
    report = failure(host)
    return report.hop.value, report.problem


@pytest.mark.parametrize("word", [Trust.DENIED, Trust.RETIRED])
def test_who_was_given_up_is_not_dialled(word: Trust) -> None:
    with pytest.raises(NotPossible) as caught:
        services.try_connection(a_host(trust=word))
    assert caught.value.problem == word


def test_nothing_outside_the_ranges_is_dialled(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosts.guards._guards", [])
    with Peer(http(b""), owned.context()) as peer:
        assert failed(host_of(owned, peer)) == ("route", "outside_ranges")
        assert peer.connections == 0


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 200])
def test_a_name_that_leads_elsewhere_is_noted_and_hinders_nothing(owned: Owned, name: str) -> None:
    with served(owned, http(well(owned)), hostname=name) as host:
        first, *others = walk(host, trust.server_identity())
    assert (first.hop.value, first.outcome.value, first.problem) == ("name", "noted", "name_elsewhere")
    assert name in first.detail
    assert {report.outcome.value for report in others} == {"passed"}


@pytest.mark.usefixtures("client_identity")
def test_without_a_route() -> None:
    """The kernel connects nothing to a broadcast address."""
    assert failed(a_host(address="127.255.255.255")) == ("route", "unreachable")


@pytest.mark.usefixtures("hasty")
def test_where_packets_are_dropped(client_identity: ClientIdentity) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        first.connect(listener.getsockname())  # no room for a second one, which is not answered
        assert failed(a_host(port=listener.getsockname()[1])) == ("route", "unreachable")


@pytest.mark.usefixtures("client_identity")
def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert failed(a_host(port=port)) == ("port", "refused")


def test_what_speaks_no_tls(owned: Owned) -> None:
    with Peer(saying(b"SSH-2.0-OpenSSH_9.2p1\r\n")) as peer:
        assert failed(host_of(owned, peer)) == ("tls", "not_tls")


def test_what_speaks_an_older_tls(owned: Owned) -> None:
    context = owned.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with served(owned, http(b""), context) as host:
        assert failed(host) == ("tls", "not_virshmanager")


@pytest.mark.usefixtures("hasty")
def test_what_accepts_and_says_nothing(owned: Owned) -> None:
    with Peer(saying(b"")) as peer:
        assert failed(host_of(owned, peer)) == ("tls", "too_slow")


def test_another_machine_at_its_address(owned: Owned, tmp_path: Path) -> None:
    other = Owned(tmp_path, owned.client)
    with served(owned, http(well(owned)), other.context()) as host:
        assert failed(host) == ("certificate", "fingerprint_changed")


def test_a_host_that_was_reset_and_kept_its_key(owned: Owned, tmp_path: Path) -> None:
    context = server_context(tmp_path, owned.key, self_signed(owned.key))
    with served(owned, http(well(owned)), context) as host:
        assert failed(host) == ("certificate", "ownership_lost")


@pytest.mark.parametrize("name", [b"\x14\x04p\xff\xfer", b"\x03\x04\x00\x11\xff\xff"])
def test_a_certificate_with_a_name_that_is_no_text(owned: Owned, tmp_path: Path, name: bytes) -> None:
    """A TeletexString and a BIT STRING, which OpenSSL lets pass."""
    good = self_signed(owned.key).public_bytes(Encoding.DER)
    bad = load_der_x509_certificate(good.replace(b"\x0c\x04peer", name))
    with served(owned, http(well(owned)), server_context(tmp_path, owned.key, bad)) as host:
        assert failed(host) == ("certificate", "not_virshmanager")


def test_a_certificate_of_another_manager(owned: Owned, tmp_path: Path, settings: Any) -> None:
    home = settings.VIRSHMANAGER_HOME
    settings.VIRSHMANAGER_HOME = tmp_path / "other"
    settings.VIRSHMANAGER_HOME.mkdir()
    foreign = Owned(tmp_path, trust.server_identity())
    foreign.key, foreign.id = owned.key, owned.id
    context = foreign.context()
    settings.VIRSHMANAGER_HOME = home
    with served(owned, http(well(owned)), context) as host:
        assert failed(host) == ("certificate", "owned_by_another")


def test_an_expired_certificate(owned: Owned) -> None:
    with time_machine.travel(datetime.now(UTC) - timedelta(days=40), tick=False):
        context = owned.context()
    with served(owned, http(well(owned)), context) as host:
        assert failed(host) == ("certificate", "certificate_expired")


def test_a_denied_certificate(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosts.models.hosts.serial_of", lambda _certificate: "ab")
    with served(owned, http(well(owned))) as host:
        HostCertificate.objects.create(
            serial="ab", host_uuid=host.uuid, expires_at=timezone.now(), denied_at=timezone.now()
        )
        assert failed(host) == ("certificate", "certificate_denied")


def test_a_host_that_believes_another_authority(owned: Owned, tmp_path: Path) -> None:
    owned.context()  # it leaves key and certificate in the folder
    strange = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strange.load_cert_chain(next(tmp_path.glob("*.pem")))
    strange.num_tickets = 0
    strange.verify_mode = ssl.CERT_REQUIRED
    with served(owned, http(well(owned)), strange) as host:
        assert failed(host) == ("role", "rejected_by_host")


def test_a_host_that_has_another_owner_of_the_same_authority(owned: Owned) -> None:
    with served(owned, http(problem(403, "not_owned"))) as host:
        assert failed(host) == ("role", "rejected_by_host")


@pytest.mark.usefixtures("hasty")
def test_a_host_that_hangs_behind_the_handshake(owned: Owned) -> None:
    with served(owned, saying(b"")) as host:
        assert failed(host) == ("role", "timed_out")


def test_a_host_that_is_not_owned_is_asked_nothing(owned: Owned, tmp_path: Path) -> None:
    asked: list[str] = []

    def note(path: str) -> bytes:
        asked.append(path)
        return problem(403, "not_owned")

    context = server_context(tmp_path, owned.key, self_signed(owned.key))
    with served(owned, http(note), context, trust=Trust.FOUND) as host:
        assert failed(host) == ("role", "not_owned")
    assert not asked


def test_a_daemon_of_another_time(owned: Owned) -> None:
    def answer(path: str) -> bytes:
        return well(owned, api=("2",))(path) if path == WELL_KNOWN else problem(404, "not_found")

    with served(owned, http(answer)) as host:
        assert failed(host) == ("protocol", "api_too_old")


@pytest.mark.parametrize("answer", [ok([]), ok(b"{"), ok(b"x" * 100_000), b"SSH-2.0-OpenSSH_9.2p1\r\n"])
def test_a_daemon_that_does_not_keep_the_contract(owned: Owned, answer: bytes) -> None:
    with served(owned, http(lambda path: well(owned)(path) if path == WELL_KNOWN else answer)) as host:
        assert failed(host) == ("protocol", "bad_answer")


def test_an_identity_that_is_none(owned: Owned) -> None:
    facts = ok(told_host(owned.id))
    with served(owned, http(lambda path: ok([]) if path == WELL_KNOWN else facts)) as host:
        assert failed(host) == ("protocol", "bad_answer")


def test_a_libvirt_that_is_down(owned: Owned) -> None:
    down = {**told_host(owned.id)["libvirt"], "alive": False, "error": "no socket"}
    with served(owned, http(well(owned, libvirt=down))) as host:
        report = failure(host)
    assert (report.hop.value, report.problem) == ("libvirt", "libvirt_down")
    assert "no socket" in report.detail


def test_a_libvirt_that_hangs(owned: Owned) -> None:
    def answer(path: str) -> bytes:
        return well(owned)(path) if path == WELL_KNOWN else problem(503, "hypervisor_busy")

    with served(owned, http(answer)) as host:
        assert failed(host) == ("libvirt", "host_busy")


def test_it_works_and_stores_nothing(owned: Owned, api: APIClient) -> None:
    with served(owned, http(well(owned)), hostname="localhost") as host:
        before = Host.objects.values().get()
        told = api.post(f"/api/hosts/{host.pk}/test-connection/").json()
    assert told["failed"] is None
    assert [hop["hop"] for hop in told["hops"]] == [
        *("name", "route", "port", "tls", "certificate", "role", "protocol", "libvirt")
    ]
    assert {hop["outcome"] for hop in told["hops"]} == {"passed"}
    assert Host.objects.values().get() == before


def test_the_api_names_the_hop(owned: Owned, api: APIClient) -> None:
    with Peer(saying(b"no TLS\r\n")) as peer:
        told = api.post(f"/api/hosts/{host_of(owned, peer).pk}/test-connection/").json()
    assert told["failed"] == "tls"
    assert [hop["outcome"] for hop in told["hops"]][3:] == ["failed", *["untried"] * 4]
