"""Keys, ids and what is read of a client's certificate."""

from __future__ import annotations

import contextlib
import ssl
import warnings

import pytest
from authority import HOUR, Authority
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd import certificates
from virshmanagerd.certificates import CertificateError, PeerCertificate


def peer(certificate: x509.Certificate, authority: Authority) -> PeerCertificate:
    return PeerCertificate.from_der(certificate.public_bytes(Encoding.DER), [authority.certificate])


def test_the_id_of_a_known_key() -> None:
    """The id was computed from OpenSSL's encoding of the key."""
    key = ec.derive_private_key(1, ec.SECP256R1())
    assert certificates.host_id(key.public_key()) == "5cd252fb-0ce8-8324-b6fa-f8ccd1040981"


@pytest.mark.parametrize("data", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateError):
        certificates.key_from_pem(data)


def test_another_kind_of_key_is_refused() -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(CertificateError, match="P-256"):
        certificates.key_from_pem(pem)


def test_a_key_survives_its_pem() -> None:
    key = certificates.new_key()
    assert certificates.key_from_pem(certificates.key_to_pem(key)).private_numbers() == key.private_numbers()


@given(st.binary(max_size=300))
def test_any_bytes_are_no_certificate(data: bytes) -> None:
    with pytest.raises(CertificateError):
        PeerCertificate.from_der(data, [])


@given(st.text(max_size=300))
def test_any_text_is_no_certificate(text: str) -> None:
    with pytest.raises(CertificateError):
        certificates.certificate_from_pem(text)
    with pytest.raises(CertificateError):
        certificates.authorities_from_pem(text)


@given(where=st.integers(0, 10_000), wrong=st.integers(1, 255))
def test_a_damaged_certificate_is_refused_in_words(authority: Authority, where: int, wrong: int) -> None:
    """One wrong byte: it may pass, but what is read of it never ends in another error."""
    der = bytearray(authority.certificate.public_bytes(Encoding.DER))
    der[where % len(der)] ^= wrong
    with contextlib.suppress(CertificateError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library says in advance what it will refuse one day
        PeerCertificate.from_der(bytes(der), [authority.certificate])
        pem = ssl.DER_cert_to_PEM_cert(bytes(der))
        certificates.public_key(certificates.certificate_from_pem(pem))


def test_a_server_is_a_server_while_its_certificate_is_valid(authority: Authority) -> None:
    found = peer(authority.server().certificate, authority)
    now = certificates.now()
    assert found.server(now) == authority.server_id
    assert found.server(now - 2 * HOUR) is None
    assert found.server(now + 2 * HOUR) is None


def test_two_servers_in_one_certificate_are_none(authority: Authority) -> None:
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(certificates.SERVER_URI + name) for name in ("one", "two")
    ]
    key = certificates.new_key().public_key()
    found = peer(authority.sign(key, names, [ExtendedKeyUsageOID.CLIENT_AUTH]), authority)
    assert found.server(certificates.now()) is None


def test_a_host_is_no_server(authority: Authority) -> None:
    found = peer(authority.host(certificates.new_key().public_key()), authority)
    assert found.server(certificates.now()) is None


def test_what_an_unclaimed_host_shows() -> None:
    key = certificates.new_key()
    certificate = certificates.self_signed(key)
    certificate.verify_directly_issued_by(certificate)
    name = certificates.host_id(key.public_key())
    assert certificates.alternative_names(certificate) == [
        x509.UniformResourceIdentifier(f"urn:virshmanager:host:{name}"),
        x509.DNSName(f"{name}.host.virshmanager.internal"),
    ]
    assert certificates.usages(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_what_a_host_asks_for() -> None:
    key = certificates.new_key()
    request = certificates.signing_request(key)
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
