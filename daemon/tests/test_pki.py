"""Renewal over real TLS: what the owner may put in place of the host's certificate, and that nothing ends."""

from __future__ import annotations

import dataclasses
import json
import ssl
from typing import Any

import pytest
import wires
from authority import HOUR, Authority, Pair
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from doors import Answer, Host, Session, World, enrol

from virshmanagerd import certificates
from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver

CSR = "/v1/pki/csr"
CERTIFICATE = "/v1/pki/certificate"


def put(session: Session, certificate: x509.Certificate) -> Answer:
    body = {"certificate": certificates.certificate_to_pem(certificate)}
    return session.request("PUT", CERTIFICATE, json.dumps(body).encode())


def shown(host: Host, client: Pair) -> bytes | None:
    """The certificate of the next handshake."""
    with host.connect(client) as sock:
        return sock.getpeercert(binary_form=True)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def own_key(host: Host) -> Any:
    return host.daemon.identity.key.public_key()


def test_who_enrols_may_not_renew(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.session(authority.server()) as session:
        session.join(authority)
        assert session.request("POST", CSR).json["type"] == "not_owned"
    with host.session(authority.server()) as session:
        session.join(authority)
        assert put(session, authority.host(own_key(host))).json["type"] == "not_owned"
    assert host.daemon.ownership.owner is None


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_another_server_of_the_ca_may_not(world: World, authority: Authority, method: str) -> None:
    host = world.host(authority)
    known = enrol(host, authority)
    with host.session(authority.server("someone-else")) as session:
        answer = session.request("POST", CSR) if method == "POST" else put(session, known)
    assert (answer.status, answer.json["type"]) == (403, "not_owned")


def refused(host: Host, authority: Authority, certificate: x509.Certificate) -> str:
    """Offer a certificate; return why it is refused. The one in use stays."""
    pair = authority.server()
    before = shown(host, pair)
    with host.session(pair) as session:
        answer = put(session, certificate)
    assert (answer.status, answer.json["type"]) == (422, "bad_certificate")
    assert shown(host, pair) == before
    return str(answer.json["detail"])


def test_a_certificate_for_another_key_is_refused(world: World, authority: Authority) -> None:
    other = authority.host(certificates.new_key().public_key())
    assert "another key" in refused(world.owned(authority), authority, other)


def test_another_hosts_names_are_refused(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    names = list(certificates.host_names(certificates.host_id(certificates.new_key().public_key())))
    certificate = authority.sign(own_key(host), names, [ExtendedKeyUsageOID.SERVER_AUTH])
    assert "names of this host" in refused(host, authority, certificate)


def test_a_foreign_ca_is_refused(world: World, authority: Authority, other_authority: Authority) -> None:
    host = world.owned(authority)
    assert "not signed" in refused(host, authority, other_authority.host(own_key(host)))


def test_an_expired_certificate_is_refused(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    expired = authority.host(own_key(host), start=-2 * HOUR, end=-HOUR)
    assert "not valid now" in refused(host, authority, expired)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"certificate": 1}'])
def test_what_is_no_request(world: World, authority: Authority, body: bytes) -> None:
    with world.owned(authority).session(authority.server()) as session:
        assert session.request("PUT", CERTIFICATE, body).json["type"] == "bad_request"


def test_the_request_is_for_the_hosts_own_key(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    with host.session(authority.server()) as session:
        csr = x509.load_pem_x509_csr(session.request("POST", CSR).json["csr"].encode())
    assert csr.public_key() == own_key(host)
    assert csr.is_signature_valid


def test_the_next_handshake_shows_it_and_nothing_that_is_open_ends(
    world: World, authority: Authority
) -> None:
    host, pair = world.owned(authority), authority.server()
    fresh = authority.host(own_key(host))
    with wires.client(host, pair, "/v1/events") as stream, host.session(pair) as session:
        hello = json.loads(stream.recv(5))
        assert put(session, fresh).status == 200
        assert put(session, fresh).status == 200
        host.daemon.poll()
        assert shown(host, pair) == der(fresh)
        host.daemon.outbox.publish("host.changed")
        assert json.loads(stream.recv(5))["seq"] == hello["seq"] + 1


def test_it_outlives_a_restart(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    fresh = authority.host(own_key(host))
    with host.session(authority.server()) as session:
        put(session, fresh)
    again = Daemon(host.daemon.config, Driver("test:///default"))
    assert again.trust.terms.certificate == certificates.certificate_to_pem(fresh)


def test_a_host_whose_certificate_has_expired_still_hears_its_owner(
    world: World, authority: Authority
) -> None:
    host, pair = world.owned(authority), authority.server()
    owner = host.daemon.ownership.owner
    assert owner
    expired = authority.host(own_key(host), start=-2 * HOUR, end=-HOUR)
    pem = certificates.certificate_to_pem(expired)
    host.daemon.ownership.finish(dataclasses.replace(owner, certificate=pem))
    host.daemon.poll()
    assert shown(host, pair) == der(expired)
    fresh = authority.host(own_key(host))
    with host.session(pair) as session:
        assert session.request("POST", CSR).status == 200
        assert put(session, fresh).status == 200
    assert shown(host, pair) == der(fresh)


def test_an_expired_server_renews_nothing(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    expired = authority.server(start=-2 * HOUR, end=-HOUR)
    with pytest.raises(ssl.SSLError, match="expired"), host.session(expired) as session:
        put(session, authority.host(own_key(host)))
