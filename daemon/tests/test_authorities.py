"""The owner changes its authority, over real TLS: who may, who is believed meanwhile, what ends."""

from __future__ import annotations

import json

import pytest
import wires
from authority import Authority, Pair
from cryptography import x509
from doors import Answer, Host, Session, World, until

from virshmanagerd import certificates
from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver

CA = "/v1/pki/ca"
CERTIFICATE = "/v1/pki/certificate"


@pytest.fixture
def successor(authority: Authority) -> Authority:
    """The next authority of the same server."""
    return Authority(server_id=authority.server_id, called="Next CA")


def put(session: Session, *authorities: Authority) -> Answer:
    return session.request("PUT", CA, json.dumps({"ca": [each.pem for each in authorities]}).encode())


def renew(session: Session, host: Host, authority: Authority) -> None:
    fresh = certificates.certificate_to_pem(authority.host(host.daemon.identity.key.public_key()))
    assert session.request("PUT", CERTIFICATE, json.dumps({"certificate": fresh}).encode()).status == 200


def believed(host: Host, pair: Pair) -> bool:
    """Say whether the host hears this server now."""
    try:
        return host.get("/v1/host", pair).status == 200
    except OSError:
        return False


def refused(host: Host, pair: Pair, *authorities: Authority) -> str:
    before = host.daemon.ownership.owner
    with host.session(pair) as session:
        answer = put(session, *authorities)
    assert (answer.status, answer.json["type"]) == (422, "bad_certificate")
    assert host.daemon.ownership.owner == before
    return str(answer.json["detail"])


def test_another_server_of_the_authority_may_not(
    world: World, authority: Authority, successor: Authority
) -> None:
    host = world.owned(authority)
    with host.session(authority.server("someone-else")) as session:
        assert put(session, authority, successor).json["type"] == "not_owned"
    assert not believed(host, successor.server())


def test_who_proves_a_join_key_may_not(world: World, authority: Authority, successor: Authority) -> None:
    host = world.host(authority)
    with host.session(authority.server()) as session:
        session.join(authority)
        assert put(session, successor).json["type"] == "not_owned"
    assert host.daemon.ownership.owner is None


def test_the_owner_does_not_lock_itself_out(world: World, authority: Authority, successor: Authority) -> None:
    detail = refused(world.owned(authority), authority.server(), successor)
    assert "your own certificate" in detail


def test_nor_the_host(world: World, authority: Authority, successor: Authority) -> None:
    """Its certificate is still of the authority that would leave."""
    host = world.owned(authority)
    with host.session(authority.server()) as session:
        assert put(session, successor, authority).status == 200
    assert "renew it before" in refused(host, successor.server(), successor)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"ca": []}', b'{"ca": "pem"}', b'{"ca": [1]}', b'{"ca": ["","","","",""]}']
)
def test_what_is_no_request(world: World, authority: Authority, body: bytes) -> None:
    with world.owned(authority).session(authority.server()) as session:
        assert session.request("PUT", CA, body).json["type"] == "bad_request"


@pytest.mark.parametrize(
    "pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_what_is_no_authority(world: World, authority: Authority, pem: str) -> None:
    host = world.owned(authority)
    with host.session(authority.server()) as session:
        answer = session.request("PUT", CA, json.dumps({"ca": [authority.pem, pem]}).encode())
    assert answer.json["type"] == "bad_certificate"
    assert believed(host, authority.server())


def test_with_both_either_is_believed_but_no_other_server(
    world: World, authority: Authority, successor: Authority, other_authority: Authority
) -> None:
    host = world.owned(authority)
    with host.session(authority.server()) as session:
        assert put(session, successor, authority).status == 200
    assert believed(host, authority.server())
    assert believed(host, successor.server())
    assert not believed(host, other_authority.server(authority.server_id))
    assert host.get("/v1/host", successor.server("someone-else")).json["type"] == "not_owned"


def test_what_was_opened_by_an_authority_that_left_ends(
    world: World, authority: Authority, successor: Authority
) -> None:
    host = world.owned(authority)
    with (
        host.session(authority.server()) as old,
        host.session(successor_of(host, authority, successor)) as new,
    ):
        assert old.request("GET", "/v1/host").status == 200
        renew(new, host, successor)
        assert put(new, successor).status == 200
        assert old.ended()
        assert new.request("GET", "/v1/host").status == 200
    assert not believed(host, authority.server())
    until(lambda: not world.engine._doors[host.daemon].connections())


def successor_of(host: Host, authority: Authority, successor: Authority) -> Pair:
    """Make the host believe both, and return what the successor's server shows."""
    with host.session(authority.server()) as session:
        assert put(session, successor, authority).status == 200
    return successor.server()


def test_a_whole_change_ends_no_stream_of_who_stays(
    world: World, authority: Authority, successor: Authority
) -> None:
    host = world.owned(authority)
    pair = successor_of(host, authority, successor)
    with wires.client(host, pair, "/v1/events") as stream, host.session(pair) as session:
        hello = json.loads(stream.recv(5))
        renew(session, host, successor)
        assert put(session, successor).status == 200
        assert put(session, successor).status == 200
        host.daemon.poll()
        host.daemon.outbox.publish("host.changed")
        assert json.loads(stream.recv(5))["seq"] == hello["seq"] + 1
    with host.connect(pair) as sock:
        der = sock.getpeercert(binary_form=True)
    assert der
    assert x509.load_der_x509_certificate(der).issuer == successor.certificate.subject


def test_it_outlives_a_restart(world: World, authority: Authority, successor: Authority) -> None:
    host = world.owned(authority)
    successor_of(host, authority, successor)
    again = Daemon(host.daemon.config, Driver("test:///default"))
    assert [certificates.certificate_to_pem(each) for each in again.trust.authorities] == [
        successor.pem,
        authority.pem,
    ]
