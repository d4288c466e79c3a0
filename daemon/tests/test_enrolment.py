"""The arithmetic of enrolment. The fixed values were computed by another program from the protocol."""

from __future__ import annotations

import hashlib

import pytest
from authority import HOUR, Authority
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd import certificates, enrolment
from virshmanagerd.certificates import CertificateError
from virshmanagerd.identity import Identity

KEY = "71f285395714ee5a5c24d5e491a13ed18c5503ce2642d895ab7c972f95f3780f"
CONTEXT = "f9d5598b874e76d5f96c91581b226aa76630a240bebae0e1d97a62b7efb6f7d5"
PROOF = "1542abaa321e91da315d0b1673963529ebfc2ac3de2ff44b3e6fa03aa7cb685c"


ADOPT_KEY = "01bf6fec74b962469583176684713b95ed5d863eb7630af353afa86d889e4efa"
SERVER_PROOF = "d7bd1b63a717c3641bbe46494cd1cd97ab4eb0ee94bb3acf60977b119bff07a2"
FINISH_PROOF = "57d82eba41936ff4426f96976d51a1b580de52bd654ce69cf99138270f044852"


def context(method: str = "join") -> enrolment.Context:
    return enrolment.Context(
        method=method,
        server_id="6f1c1f0e-3d0a-4c55-9a7e-0c7f4a8f2b11",
        daemon_id="00010203-0405-8607-8809-0a0b0c0d0e0f",
        server_nonce=b"\1" * 32,
        daemon_nonce=b"\2" * 32,
        host_spki=b"\3" * 32,
        ca_spki=b"\4" * 32,
    )


def test_fields() -> None:
    assert enrolment.fields(b"ab", b"") == b"\0\0\0\2ab\0\0\0\0"


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_no_two_lists_of_fields_look_alike(one: list[bytes], other: list[bytes]) -> None:
    assert (enrolment.fields(*one) == enrolment.fields(*other)) == (one == other)


def test_join_key() -> None:
    assert enrolment.join_key(bytes(range(32))).hex() == KEY


def test_context() -> None:
    assert hashlib.sha256(context().encode()).hexdigest() == CONTEXT


def test_host_proof() -> None:
    assert enrolment.host_proof(bytes.fromhex(KEY), context(), b"csr").hex() == PROOF


def test_adopt_key() -> None:
    assert enrolment.adopt_key("0123456789", bytes(range(16))).hex() == ADOPT_KEY


def test_server_proof() -> None:
    assert enrolment.server_proof(bytes.fromhex(ADOPT_KEY), context("code")).hex() == SERVER_PROOF


def test_finish_proof() -> None:
    proof = enrolment.finish_proof(bytes.fromhex(ADOPT_KEY), context("code"), b"certificate", b"ca")
    assert proof.hex() == FINISH_PROOF


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
