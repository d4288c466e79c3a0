"""The arithmetic of enrolment. The values of ``enrolment.json`` were computed by another program."""

from __future__ import annotations

import hashlib
import json
import ssl
from pathlib import Path

import pytest
from authority import HOUR, Authority
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd import certificates, enrolment
from virshmanagerd.certificates import CertificateError
from virshmanagerd.identity import Identity

# Server and daemon share no code: the server's tests read the same values, so neither can drift alone.
KNOWN = json.loads(Path(__file__).with_name("enrolment.json").read_text())
JOIN_KEY, ADOPT_KEY = bytes.fromhex(KNOWN["join_key"]), bytes.fromhex(KNOWN["adopt_key"])


def context(method: str) -> enrolment.Context:
    return enrolment.Context(
        method=method,
        server_id=KNOWN["server_id"],
        daemon_id=KNOWN["daemon_id"],
        server_nonce=bytes.fromhex(KNOWN["server_nonce"]),
        daemon_nonce=bytes.fromhex(KNOWN["daemon_nonce"]),
        host_spki=hashlib.sha256(KNOWN["host_key"].encode()).digest(),
        ca_spki=hashlib.sha256(KNOWN["ca_key"].encode()).digest(),
    )


def test_fields() -> None:
    assert enrolment.fields(b"ab", b"") == b"\0\0\0\2ab\0\0\0\0"


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_no_two_lists_of_fields_look_alike(one: list[bytes], other: list[bytes]) -> None:
    assert (enrolment.fields(*one) == enrolment.fields(*other)) == (one == other)


def test_keys() -> None:
    assert enrolment.join_key(bytes.fromhex(KNOWN["secret"])) == JOIN_KEY
    assert enrolment.adopt_key(KNOWN["code"], bytes.fromhex(KNOWN["salt"])) == ADOPT_KEY


@pytest.mark.parametrize(("method", "key"), [("join", JOIN_KEY), ("code", ADOPT_KEY)])
def test_host_proof(method: str, key: bytes) -> None:
    proof = enrolment.host_proof(key, context(method), KNOWN["csr"].encode())
    assert proof.hex() == KNOWN[f"{method}_host"]


def test_server_proof() -> None:
    assert enrolment.server_proof(ADOPT_KEY, context("code")).hex() == KNOWN["code_server"]


def test_finish_proof() -> None:
    ders = [KNOWN[name].encode() for name in ("certificate", "ca")]
    assert enrolment.finish_proof(ADOPT_KEY, context("code"), *ders).hex() == KNOWN["code_finish"]


def test_what_is_no_ca_is_refused(authority: Authority) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    other = certificates.certificate_to_pem(authority.sign(key, [x509.DNSName("a")], []))
    der = authority.certificate.public_bytes(Encoding.DER)
    misnamed = ssl.DER_cert_to_PEM_cert(der.replace(b"Test CA", b"\xffest CA"))  # this is not UTF-8
    for text, reason in (("", "no certificate"), (other, "not ECDSA"), (misnamed, "TLS does not take it")):
        with pytest.raises(CertificateError, match=reason):
            enrolment.usable_ca(text)


def test_a_ca_and_the_digest_of_its_key(authority: Authority) -> None:
    ca = enrolment.usable_ca(authority.pem)
    assert ca == authority.certificate
    assert enrolment.ca_spki(ca) == hashlib.sha256(certificates.spki(authority.key.public_key())).digest()


@pytest.fixture
def identity() -> Identity:
    key = certificates.new_key()
    return Identity(key, certificates.host_id(key.public_key()), None, "journal")


def refusal(certificate: x509.Certificate, ca: x509.Certificate, identity: Identity) -> str:
    with pytest.raises(CertificateError) as error:
        enrolment.check_host_certificate(certificate, [ca], identity, certificates.now())
    return str(error.value)


def test_a_self_signed_certificate_is_refused(authority: Authority, identity: Identity) -> None:
    certificate = certificates.self_signed(identity.key)
    assert "not signed by the proven CA" in refusal(certificate, authority.certificate, identity)


def test_a_ca_of_the_same_name_is_refused(
    authority: Authority, other_authority: Authority, identity: Identity
) -> None:
    certificate = other_authority.host(identity.key.public_key())
    assert "not signed by the proven CA" in refusal(certificate, authority.certificate, identity)


def test_a_certificate_for_another_key_is_refused(authority: Authority, identity: Identity) -> None:
    certificate = authority.host(certificates.new_key().public_key())
    assert refusal(certificate, authority.certificate, identity) == "the certificate is for another key"


def test_a_certificate_is_valid_to_its_last_second(authority: Authority, identity: Identity) -> None:
    certificate = authority.host(identity.key.public_key())
    for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        enrolment.check_host_certificate(certificate, [authority.certificate], identity, moment)


def test_a_certificate_out_of_date_is_refused(authority: Authority, identity: Identity) -> None:
    certificate = authority.host(identity.key.public_key(), start=-2 * HOUR, end=-HOUR)
    assert "not valid now" in refusal(certificate, authority.certificate, identity)


@pytest.mark.parametrize("kept", [0, 1])
def test_both_names_are_needed(authority: Authority, identity: Identity, kept: int) -> None:
    names = [list(certificates.host_names(identity.id))[kept]]
    certificate = authority.sign(identity.key.public_key(), names, [ExtendedKeyUsageOID.SERVER_AUTH])
    assert "exactly the names" in refusal(certificate, authority.certificate, identity)


def test_more_names_are_refused(authority: Authority, identity: Identity) -> None:
    names = [*certificates.host_names(identity.id), x509.DNSName("example.com")]
    certificate = authority.sign(identity.key.public_key(), names, [ExtendedKeyUsageOID.SERVER_AUTH])
    assert "exactly the names" in refusal(certificate, authority.certificate, identity)


@pytest.mark.parametrize(
    "usages",
    [
        [],
        [ExtendedKeyUsageOID.CLIENT_AUTH],
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    ],
)
def test_other_usages_are_refused(
    authority: Authority, identity: Identity, usages: list[x509.ObjectIdentifier]
) -> None:
    names = list(certificates.host_names(identity.id))
    certificate = authority.sign(identity.key.public_key(), names, usages)
    assert "for servers only" in refusal(certificate, authority.certificate, identity)


def test_it_works(authority: Authority, identity: Identity) -> None:
    certificate = authority.host(identity.key.public_key())
    enrolment.check_host_certificate(certificate, [authority.certificate], identity, certificates.now())
