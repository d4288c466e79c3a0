"""What a change of trust does to connections: nothing opened before may be believed after."""

from __future__ import annotations

import datetime as dt
import ssl

import pytest
from authority import HOUR, Authority, Pair
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from doors import WELL_KNOWN, Host, World, enrol, until

from virshmanagerd import certificates, commands
from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver
from virshmanagerd.ownership import Owner
from virshmanagerd.web import Peer


def refused_in_tls(host: Host, client: Pair | None) -> str:
    """Return TLS's reason for refusing a client; no byte of HTTP may come."""
    with pytest.raises(ssl.SSLError) as refusal, host.session(client) as session:
        session.request("GET", WELL_KNOWN)
    return str(refusal.value)


def test_an_owned_host_refuses_strangers_in_tls(world: World, authority: Authority) -> None:
    assert "certificate required" in refused_in_tls(world.owned(authority), None)


def test_an_owned_host_refuses_another_ca(
    world: World, authority: Authority, other_authority: Authority
) -> None:
    """The other CA has the same name: only its signature tells."""
    assert "alert decrypt error" in refused_in_tls(world.owned(authority), other_authority.server())


def test_an_owned_host_refuses_another_hosts_certificate(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    key = certificates.new_key()
    other = Pair(authority.host(key.public_key()), key)
    assert "certificate" in refused_in_tls(host, other)


def test_an_owned_host_refuses_an_expired_certificate(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    assert "expired" in refused_in_tls(host, authority.server(start=-2 * HOUR, end=-HOUR))


@pytest.mark.parametrize("stranger", ["another server", "both usages"])
def test_another_certificate_of_the_ca_owns_nothing(
    world: World, authority: Authority, stranger: str
) -> None:
    host = world.owned(authority)
    both = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    pair = authority.server("someone-else") if stranger == "another server" else authority.server(usages=both)
    for path in ("/v1/host", "/v1/domains", "/v1/stats"):
        answer = host.get(path, pair)
        assert (answer.status, answer.json["type"]) == (403, "not_owned")


def test_a_certificate_that_expires_meanwhile_is_refused(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = world.owned(authority)
    with host.session(authority.server()) as session:
        assert session.request("GET", "/v1/host").status == 200
        later = certificates.now() + 2 * HOUR
        monkeypatch.setattr(certificates, "now", lambda: later)
        assert session.request("GET", "/v1/host").json["type"] == "not_owned"


def test_connections_of_before_end_when_the_host_is_owned(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.plain() as silent, host.session() as idle, host.session(authority.server()) as proven:
        assert idle.request("GET", WELL_KNOWN).status == 200
        assert proven.request("GET", WELL_KNOWN).status == 200
        enrol(host, authority)
        assert silent.recv(1) == b""
        assert idle.ended()
        assert proven.ended()


def test_the_connection_that_finished_ends_too(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.session(authority.server()) as session:
        session.join(authority)
        answer = session.finish(authority.host(host.key), authority.pem)
        assert answer.json == {"state": "owned"}
        assert answer.headers["Connection"] == "close"
        until(lambda: not world.engine._doors[host.daemon].connections())


def peer(host: Host, pair: Pair) -> Peer:
    trust = host.daemon.trust
    der = pair.certificate.public_bytes(Encoding.DER)
    certificate = certificates.PeerCertificate.from_der(der, trust.authorities)
    return Peer("192.0.2.1", certificate, trust.generation)


def test_a_stranger_begins_nothing(world: World, authority: Authority) -> None:
    daemon = world.host(authority).daemon
    key = daemon.join_key()
    assert key
    assert not daemon.begin_enrolment(Peer("192.0.2.1", None, daemon.trust.generation), key)


def test_who_was_replaced_while_finishing_owns_nothing(world: World, authority: Authority) -> None:
    """The check of a certificate takes a moment: another server may prove itself in it."""
    host = world.host(authority)
    daemon, key = host.daemon, host.daemon.join_key()
    assert key
    first, second = (peer(host, authority.server()) for _ in range(2))
    assert daemon.begin_enrolment(first, key)
    running = daemon.enrolment_of(first)
    assert running
    assert daemon.begin_enrolment(second, key)
    assert not daemon.become_owned(first, running, "certificate")
    assert daemon.ownership.state == "enrolling"


def test_a_reset_ends_all_connections(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    known = host.daemon.identity.id
    with host.session(authority.server()) as session:
        assert session.request("GET", "/v1/host").status == 200
        list(commands.reset(host.daemon.config))
        assert session.ended()
    fresh = host.get(WELL_KNOWN).json
    assert fresh["state"] == "unclaimed"
    assert fresh["id"] != known


def test_a_certificate_changes_without_a_restart(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    old = host.daemon.ownership.owner
    assert old
    fresh = authority.host(host.daemon.identity.key.public_key())
    with host.session(authority.server()) as session:
        assert session.request("GET", "/v1/host").status == 200
        renewed = Owner(old.server_id, old.ca, certificates.certificate_to_pem(fresh), old.key_id)
        host.daemon.ownership.finish(renewed)
        assert session.ended()
    with host.connect(authority.server()) as sock:
        der = sock.getpeercert(binary_form=True)
    assert der
    assert der == fresh.public_bytes(Encoding.DER)


def test_a_join_key_is_noticed_while_running(world: World, authority: Authority) -> None:
    host = world.host()
    with host.session() as before:
        assert before.request("GET", WELL_KNOWN).json["enrol"] == []
        authority.drop(host.daemon.config.join_file)
        assert before.ended()  # it was opened when no client could prove itself
    assert host.get(WELL_KNOWN).json["enrol"] != []
    enrol(host, authority)


def test_a_join_key_expires_while_running(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = world.host(authority)
    later = certificates.now() + 2 * HOUR
    generation = host.daemon.trust.generation
    monkeypatch.setattr(certificates, "now", lambda: later)
    until(lambda: host.daemon.trust.generation > generation)
    assert host.get(WELL_KNOWN).json["enrol"] == []


def test_an_enrolment_outlives_the_expiry_of_its_key(
    world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = world.host(authority)
    key = host.key
    with host.session(authority.server(end=3 * HOUR)) as session:
        assert session.join(authority).status == 200
        later = certificates.now() + 2 * HOUR
        monkeypatch.setattr(certificates, "now", lambda: later)
        host.daemon.poll()
        certificate = authority.host(key, end=dt.timedelta(hours=3))
        assert session.finish(certificate, authority.pem).status == 200


def test_ownership_outlives_a_restart(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    again = Daemon(host.daemon.config, Driver("test:///default"))
    assert again.ownership.state == "owned"
    assert again.identity.id == host.daemon.identity.id
    assert again.trust.terms == host.daemon.trust.terms


def test_a_crash_between_storing_and_wiping_leaves_no_secret(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    authority.drop(host.daemon.config.join_file)
    Daemon(host.daemon.config, Driver("test:///default"))
    assert not host.daemon.config.join_file.exists()


def test_a_clone_becomes_a_host_of_its_own(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    config = host.daemon.config
    config.machine_id_file.write_text("f" * 32)
    clone = Daemon(config, Driver("test:///default"))
    assert clone.ownership.state == "unclaimed"
    assert clone.identity.id != host.daemon.identity.id
    assert clone.journal_id != host.daemon.journal_id
    assert any("clone" in line for line in commands.status(config))


def test_the_owner_reads_the_hypervisor(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    host.daemon.driver.start()
    try:
        with host.session(authority.server()) as session:
            until(lambda: bool(session.request("GET", "/v1/host").json["libvirt"]["alive"]))
            domains = session.request("GET", "/v1/domains").json["domains"]
            assert [domain["name"] for domain in domains] == ["test"]
            answer = session.request("GET", f"/v1/domains/{domains[0]['uuid']}/xml?which=live")
            assert answer.headers["Content-Type"] == "application/xml"
    finally:
        host.daemon.driver.stop()
