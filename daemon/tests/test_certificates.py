"""Keys, ids and what is read of a client's certificate."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
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

SECOND = dt.timedelta(seconds=1)


def peer(certificate: x509.Certificate, authority: Authority) -> PeerCertificate:
    return PeerCertificate.from_der(certificate.public_bytes(Encoding.DER), [authority.certificate])


@pytest.mark.parametrize(
    ("secret", "name"),
    [(1, "5cd252fb-0ce8-8324-b6fa-f8ccd1040981"), (3, "2b985bad-f1ba-8829-bf6b-92e8c0acc113")],
)
def test_the_id_of_a_known_key(secret: int, name: str) -> None:
    """The ids were computed from OpenSSL's encoding of the keys."""
    key = ec.derive_private_key(secret, ec.SECP256R1())
    assert certificates.host_id(key.public_key()) == name


@pytest.mark.parametrize("data", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateError, match="no private key"):
        certificates.key_from_pem(data)


def test_a_key_of_another_curve_is_refused() -> None:
    pem = certificates.key_to_pem(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(CertificateError, match="P-256"):
        certificates.key_from_pem(pem)


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
    with pytest.raises(CertificateError, match="no certificate in PEM"):
        certificates.certificate_from_pem(text)
    with pytest.raises(CertificateError, match="no certificates in PEM"):
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


def test_a_key_that_is_not_ecdsa_is_refused(authority: Authority) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    with pytest.raises(CertificateError, match="not ECDSA"):
        certificates.public_key(authority.sign(key, [x509.DNSName("a")], []))


def test_what_is_no_client_certificate_is_refused(authority: Authority) -> None:
    with pytest.raises(CertificateError, match="no certificate"):
        PeerCertificate.from_der(b"", [authority.certificate])


def test_an_extension_that_comes_twice_is_refused(authority: Authority) -> None:
    der = authority.server().certificate.public_bytes(Encoding.DER)
    usages, names = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d11")  # their object identifiers
    with pytest.raises(CertificateError, match="extensions"):
        PeerCertificate.from_der(der.replace(usages, names), [authority.certificate])


def test_a_client_of_a_ca_of_the_same_name_is_refused(
    authority: Authority, other_authority: Authority
) -> None:
    with pytest.raises(CertificateError, match="not signed by an authority"):
        peer(authority.server().certificate, other_authority)


def test_who_signed_it_is_told_of_several(authority: Authority, other_authority: Authority) -> None:
    der = authority.server().certificate.public_bytes(Encoding.DER)
    found = PeerCertificate.from_der(der, [other_authority.certificate, authority.certificate])
    assert found.fingerprint == hashlib.sha256(der).digest()
    assert found.authority == hashlib.sha256(authority.certificate.public_bytes(Encoding.DER)).digest()


def test_a_server_is_a_server_while_its_certificate_is_valid(authority: Authority) -> None:
    certificate = authority.server().certificate
    found = peer(certificate, authority)
    for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        assert found.server(moment) == authority.server_id
    assert found.server(certificate.not_valid_before_utc - SECOND) is None
    assert found.server(certificate.not_valid_after_utc + SECOND) is None


@pytest.mark.parametrize(
    "names",
    [
        [],
        [x509.DNSName("urn:virshmanager:server:one")],
        [x509.UniformResourceIdentifier("urn:virshmanager:server:")],
        [x509.UniformResourceIdentifier("urn:virshmanager:host:one")],
        [x509.UniformResourceIdentifier(f"urn:virshmanager:server:{name}") for name in ("one", "two")],
    ],
)
def test_a_client_with_other_names_is_no_server(authority: Authority, names: list[x509.GeneralName]) -> None:
    key = certificates.new_key().public_key()
    found = peer(authority.sign(key, names, [ExtendedKeyUsageOID.CLIENT_AUTH]), authority)
    assert found.server(certificates.now()) is None


@pytest.mark.parametrize(
    "usages",
    [
        [],
        [ExtendedKeyUsageOID.SERVER_AUTH],
        [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
    ],
)
def test_a_certificate_for_other_uses_is_no_servers(
    authority: Authority, usages: list[x509.ObjectIdentifier]
) -> None:
    found = peer(authority.server(usages=usages).certificate, authority)
    assert found.server(certificates.now()) is None


def test_what_an_unclaimed_host_shows() -> None:
    key = certificates.new_key()
    certificate = certificates.self_signed(key)
    certificate.verify_directly_issued_by(certificate)
    name = certificates.host_id(key.public_key())
    assert certificate.subject == certificate.issuer == x509.Name.from_rfc4514_string(f"CN={name}")
    assert certificates.alternative_names(certificate) == [
        x509.UniformResourceIdentifier(f"urn:virshmanager:host:{name}"),
        x509.DNSName(f"{name}.host.virshmanager.internal"),
    ]
    assert certificates.usages(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not any(extension.critical for extension in certificate.extensions)


def test_what_an_unclaimed_host_shows_is_valid_for_ten_years_from_an_hour_ago() -> None:
    before = certificates.now().replace(microsecond=0)
    certificate = certificates.self_signed(certificates.new_key())
    assert before <= certificate.not_valid_before_utc + HOUR <= certificates.now()
    assert certificate.not_valid_after_utc == certificate.not_valid_before_utc + dt.timedelta(days=3650)


def test_what_a_host_asks_for() -> None:
    key = certificates.new_key()
    request = certificates.signing_request(key)
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    name = certificates.host_id(key.public_key())
    assert request.subject == x509.Name.from_rfc4514_string(f"CN={name}")
    assert [(found.value, found.critical) for found in request.extensions] == [
        (certificates.host_names(name), False)
    ]
