"""What the signer signs, and for what it never signs, whoever asks."""

import json
import logging
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hosts.trust import keys
from hosts.trust.signer.desk import Desk, Peer
from hosts.trust.signer.issuer import Issuer, self_signed
from hosts.trust.signer.succession import Succession
from tests.signing import csr

PEER = Peer(pid=4242, uid=1000, gid=1000)
SERVER = str(uuid.UUID(int=7))
GOOD = csr(keys.new_key()).decode()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    key = keys.new_key()
    return Desk(Succession(Issuer(key, self_signed(key))), tmp_path)


def asked(desk: Desk, **request: Any) -> dict[str, str]:
    answer: dict[str, str] = json.loads(desk.answer(json.dumps(request).encode(), PEER))
    return answer


def signed(desk: Desk, **request: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(asked(desk, **request)["certificate"].encode())


def request_by(key: Any, *extensions: x509.ExtensionType) -> str:
    """A signing request that asks for more than is granted."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    builder = x509.CertificateSigningRequestBuilder(name)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def forged() -> str:
    """A request with the key of another in it, which that other did not sign."""
    der = bytearray(x509.load_pem_x509_csr(GOOD.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    try:
        return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    except ValueError:  # the bit was one of a length
        return forged()


@pytest.mark.parametrize(
    "packet",
    [
        b"x",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"[" * 8000,
        b'{"want": null}',
        b'{"want": ["host"]}',
        b'{"want": {"host": 1}}',
        b'{"want": "key"}',
        b'{"want": "authority", "csr": ""}',
        b'{"want": "host"}',
        b'{"want": "host", "csr": 5}',
        json.dumps({"want": "host", "csr": GOOD, "days": "3650"}).encode(),
        json.dumps({"want": "host", "csr": GOOD, "names": "*"}).encode(),
        json.dumps({"want": "server", "csr": GOOD}).encode(),
        json.dumps({"want": "server", "csr": GOOD, "server_id": "urn:x"}).encode(),
    ],
)
def test_what_is_no_request_is_refused(desk: Desk, packet: bytes) -> None:
    assert json.loads(desk.answer(packet, PEER)) == {"refused": "bad_request"}
    assert desk.signed == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "é",
        "\ud800",
        "x",
        "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
        request_by(ec.generate_private_key(ec.SECP384R1())),
        request_by(rsa.generate_private_key(65537, 2048)),
        self_signed(keys.new_key()).public_bytes(Encoding.PEM).decode(),
        forged(),
    ],
)
@pytest.mark.parametrize("want", ["host", "server"])
def test_what_no_host_can_ask_for_is_refused(desk: Desk, want: str, text: str) -> None:
    more = {"server_id": SERVER} if want == "server" else {}
    assert asked(desk, want=want, csr=text, **more) == {"refused": "bad_csr"}
    assert desk.signed == 0


def test_there_is_one_server(desk: Desk, tmp_path: Path) -> None:
    signed(desk, want="server", csr=GOOD, server_id=SERVER)
    other = {"want": "server", "csr": GOOD, "server_id": str(uuid.UUID(int=8))}
    assert asked(desk, **other) == {"refused": "other_server"}
    assert (tmp_path / "server_id").read_text() == SERVER


def test_a_refusal_repeats_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.answer(b'{"want": "\\u001b[2J"}', PEER)
    assert caplog.messages == ["refused process 4242 of user 1000: bad_request"]


def test_what_is_asked_for_beyond_the_key_is_not_granted(desk: Desk) -> None:
    key = keys.new_key()
    greedy = request_by(
        key,
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:virshmanager:server:{SERVER}")]),
    )
    certificate = signed(desk, want="host", csr=greedy)
    host_id = keys.daemon_id(keys.spki(key.public_key()))
    assert certificate.subject.rfc4514_string() == f"CN={host_id}"
    found = {extension.oid: extension.value for extension in certificate.extensions}
    assert found[x509.BasicConstraints.oid] == x509.BasicConstraints(ca=False, path_length=None)
    assert found[x509.ExtendedKeyUsage.oid] == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    assert f"{host_id}.host" in str(found[x509.SubjectAlternativeName.oid])
    assert SERVER not in str(found[x509.SubjectAlternativeName.oid])


def test_nothing_outlives_the_authority(desk: Desk) -> None:
    [authority] = [signed(desk, want="authority")]
    last_days = authority.not_valid_after_utc - timedelta(days=3)
    with time_machine.travel(last_days):
        assert signed(desk, want="host", csr=GOOD).not_valid_after_utc == authority.not_valid_after_utc


def extensions(certificate: x509.Certificate) -> dict[type[x509.ExtensionType], tuple[bool, Any]]:
    """What it says besides name, key and dates, each with whether it is critical."""
    return {type(each.value): (each.critical, each.value) for each in certificate.extensions}


def usage(*may: str) -> x509.KeyUsage:
    agreeing = ("key_agreement", "encipher_only", "decipher_only")
    signing = ("digital_signature", "content_commitment", "key_cert_sign", "crl_sign")
    names = (*signing, *agreeing, "key_encipherment", "data_encipherment")
    return x509.KeyUsage(**{name: name in may for name in names})


def test_what_certificates_may_be_used_for(desk: Desk) -> None:
    """The authority for certificates alone, what it signs for signatures alone (RFC 5280, 4.2.1.3)."""
    authority = signed(desk, want="authority")
    own = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    assert extensions(authority) == {
        x509.BasicConstraints: (True, x509.BasicConstraints(ca=True, path_length=0)),
        x509.KeyUsage: (True, usage("key_cert_sign", "crl_sign")),
        x509.SubjectKeyIdentifier: (False, own),
    }
    for certificate in (
        signed(desk, want="host", csr=GOOD),
        signed(desk, want="server", csr=GOOD, server_id=SERVER),
    ):
        found = extensions(certificate)
        assert found[x509.BasicConstraints] == (True, x509.BasicConstraints(ca=False, path_length=None))
        assert found[x509.KeyUsage] == (True, usage("digital_signature"))
        assert not found[x509.ExtendedKeyUsage][0]
        assert not found[x509.SubjectAlternativeName][0]
        # By these a verifier finds who signed, where several authorities are believed.
        key = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        assert found[x509.SubjectKeyIdentifier] == (False, key)
        signer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        assert found[x509.AuthorityKeyIdentifier] == (False, signer)


def test_names_of_authorities_and_numbers_of_certificates_are_never_used_twice(desk: Desk) -> None:
    authority, following = signed(desk, want="authority"), signed(desk, want="next")
    hosts = [signed(desk, want="host", csr=GOOD) for _ in range(2)]
    assert len({each.serial_number for each in (authority, following, *hosts)}) == 4
    for each in (authority, following):
        name = each.subject.rfc4514_string().removeprefix("CN=VirshManager ")
        assert str(uuid.UUID(name)) == name
        assert each.subject == each.issuer
    assert authority.subject != following.subject
    assert {each.issuer for each in hosts} == {authority.subject}


def test_a_new_authority_lives_for_ten_years_and_is_valid_where_the_clock_is_behind(desk: Desk) -> None:
    authority, now = signed(desk, want="authority"), datetime.now(UTC)
    assert abs(now - timedelta(hours=1) - authority.not_valid_before_utc) < timedelta(minutes=1)
    assert abs(now + timedelta(days=3650) - authority.not_valid_after_utc) < timedelta(minutes=1)


def test_each_signature_is_counted_and_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    signed(desk, want="authority")
    first = signed(desk, want="host", csr=GOOD)
    second = signed(desk, want="server", csr=GOOD, server_id=SERVER)
    assert desk.signed == len(caplog.messages) == 2
    for number, certificate in enumerate((first, second), start=1):
        line = caplog.messages[number - 1]
        assert line.startswith(f"signature {number} ")
        assert f"serial {certificate.serial_number:x}" in line
        assert "process 4242 of user 1000" in line


def test_it_works(desk: Desk) -> None:
    authority = signed(desk, want="authority")
    host = signed(desk, want="host", csr=GOOD)
    server = signed(desk, want="server", csr=GOOD, server_id=SERVER)
    now = datetime.now(UTC)
    for certificate, days in ((host, 30), (server, 7)):
        certificate.verify_directly_issued_by(authority)
        assert (
            timedelta(0) < now + timedelta(days=days) - certificate.not_valid_after_utc < timedelta(minutes=1)
        )


@pytest.mark.parametrize("name", ["", "00" * 32, "x" * 1000])
def test_no_authority_takes_over_but_the_one_that_follows(desk: Desk, name: str) -> None:
    before = signed(desk, want="authority")
    assert asked(desk, want="take_over", fingerprint=name) == {"refused": "no_such_authority"}
    signed(desk, want="next")
    assert asked(desk, want="take_over", fingerprint=name) == {"refused": "no_such_authority"}
    assert signed(desk, want="authority") == before


def test_the_authority_that_follows_signs_nothing_before_it_takes_over(desk: Desk) -> None:
    before, following = signed(desk, want="authority"), signed(desk, want="next")
    assert following == signed(desk, want="next") != before
    assert following.subject != before.subject
    signed(desk, want="host", csr=GOOD).verify_directly_issued_by(before)
    name = keys.certificate_fingerprint(following)
    assert signed(desk, want="take_over", fingerprint=name) == following
    assert signed(desk, want="take_over", fingerprint=name) == following
    assert signed(desk, want="authority") == following
    signed(desk, want="host", csr=GOOD).verify_directly_issued_by(following)
    old = keys.certificate_fingerprint(before)
    assert asked(desk, want="take_over", fingerprint=old) == {"refused": "no_such_authority"}
