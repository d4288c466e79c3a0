"""The authority, the server's own certificate, and the proofs."""

import hashlib
import hmac
import json
import ssl
import stat
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from pytest_django.fixtures import Settings

from hosts import trust
from hosts.trust import ClientIdentity, SigningError, asking, client, keys, protocol
from hosts.trust.protocol import Context, derive_key, fields, from_base64
from hosts.trust.signer.issuer import self_signed
from tests.signing import another_authority, answer, csr, desk

CONTEXT = Context(
    method="join",
    server_id=uuid.UUID(int=1),
    daemon_id=uuid.UUID(int=2),
    server_nonce=b"s" * 32,
    daemon_nonce=b"d" * 32,
    host_key=b"host key",
    ca_key=b"ca key",
)
DAY = timedelta(days=1)
REPOSITORY = Path(__file__).parents[2]


Kind = TypeVar("Kind", bound=x509.ExtensionType)


def extension(certificate: x509.Certificate, kind: type[Kind]) -> Kind:
    return certificate.extensions.get_extension_for_class(kind).value


@pytest.mark.parametrize(
    "change",
    [
        {"server_id": uuid.UUID(int=3)},
        {"daemon_id": uuid.UUID(int=3)},
        {"server_nonce": b"x" * 32},
        {"daemon_nonce": b"x" * 32},
        {"server_nonce": b"s" * 31},
        {"host_key": b"another"},
        {"ca_key": b"another"},
    ],
)
def test_a_proof_is_bound_to_all_of_its_context(change: dict[str, object]) -> None:
    proof = CONTEXT.host_proof(b"k" * 32, b"csr")
    assert not replace(CONTEXT, **change).proves_host(b"k" * 32, b"csr", proof)  # type: ignore[arg-type]


def test_a_proof_is_bound_to_key_and_request() -> None:
    proof = CONTEXT.host_proof(b"k" * 32, b"csr")
    assert CONTEXT.proves_host(b"k" * 32, b"csr", proof)
    assert not CONTEXT.proves_host(b"l" * 32, b"csr", proof)
    assert not CONTEXT.proves_host(b"k" * 32, b"other", proof)
    assert not CONTEXT.proves_host(b"k" * 32, b"csr", proof[:-1])


def test_the_proof_is_the_one_of_the_protocol() -> None:
    message = b"".join(
        len(value).to_bytes(4, "big") + value
        for value in (
            b"host",
            b"virshmanager-enrol-1",
            b"join",
            b"00000000-0000-0000-0000-000000000001",
            b"00000000-0000-0000-0000-000000000002",
            b"s" * 32,
            b"d" * 32,
            hashlib.sha256(b"host key").digest(),
            hashlib.sha256(b"ca key").digest(),
            hashlib.sha256(b"csr").digest(),
        )
    )
    expected = hmac.new(b"k" * 32, message, "sha256").digest()
    assert CONTEXT.host_proof(b"k" * 32, b"csr") == expected


def test_two_lists_of_fields_never_look_alike() -> None:
    assert fields(b"ab", b"c") != fields(b"a", b"bc")


def test_the_derived_key_is_hkdf_sha256() -> None:
    # RFC 5869, steps 2.2 and 2.3 by hand: no salt is 32 zero bytes; one block is enough.
    pseudo_random = hmac.new(bytes(32), b"secret", "sha256").digest()
    expected = hmac.new(pseudo_random, b"virshmanager join 1\x01", "sha256").digest()
    assert derive_key(b"secret") == expected


@pytest.mark.parametrize("text", [None, 5, "", "AAAA", "A" * 43, "!" * 44, "é" * 44, "A" * 43 + "=\n"])
def test_what_is_no_base64_of_this_length_is_refused(text: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- binascii.Error and UnicodeError are ValueErrors too
        from_base64(text, 32)


def test_the_identity_of_a_daemon_is_a_version_8_uuid_of_its_key() -> None:
    found = keys.daemon_id(b"key")
    digest = hashlib.sha256(b"key").digest()
    assert found.bytes[:6] == digest[:6]
    assert found.version == 8
    assert found.variant == uuid.RFC_4122


@pytest.mark.parametrize("key", [b"key", b"another key", b"a third"])
def test_all_of_the_digest_is_in_the_identity_but_for_version_and_variant(key: bytes) -> None:
    digest, found = hashlib.sha256(key).hexdigest()[:32], keys.daemon_id(key).hex
    assert found[:12] + found[13:16] + found[17:] == digest[:12] + digest[13:16] + digest[17:]
    assert (found[12], found[16]) == ("8", "89ab"[int(digest[16], 16) % 4])


def test_a_private_key_that_is_none_of_ours_is_refused() -> None:
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    with pytest.raises(ValueError, match="elliptic curve"):
        keys.key_from_pem(other)
    key = keys.new_key()
    assert keys.key_from_pem(keys.key_to_pem(key)).private_numbers() == key.private_numbers()


def test_other_keys_than_p256_are_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(ValueError, match="P-256"):
        keys.certificate_key(self_signed(key).public_bytes(Encoding.DER))
    with pytest.raises(ValueError, match="P-256"):
        keys.read_request(csr(key))


def test_the_authority_signs_no_authority(client_identity: ClientIdentity) -> None:
    ca = client_identity.authority.certificate
    assert extension(ca, x509.BasicConstraints) == x509.BasicConstraints(ca=True, path_length=0)
    assert ca.not_valid_after_utc - datetime.now(UTC) > 3649 * DAY
    for signed in (
        client_identity.certificate,
        client_identity.authority.sign_host(csr(keys.new_key())),
    ):
        assert not extension(signed, x509.BasicConstraints).ca
        assert client_identity.authority.issued(signed)


def test_another_authority_did_not_sign_it(client_identity: ClientIdentity, tmp_path: Path) -> None:
    other = another_authority(tmp_path / "other")
    assert not other.issued(client_identity.certificate)


def test_who_is_believed_and_who_is_only_recovered(client_identity: ClientIdentity, tmp_path: Path) -> None:
    """While one authority follows another, hosts have certificates of both; then the old one is former."""
    ours = client_identity.authority
    second, third, stranger = (another_authority(tmp_path / name) for name in ("second", "third", "stranger"))
    rotated = replace(ours, others=(second.certificate,), former=(third.certificate,))
    signed = [each.sign_host(csr(keys.new_key())) for each in (ours, second, third, stranger)]
    assert [rotated.issued(each) for each in signed] == [True, False, False, False]
    assert [rotated.believes(each) for each in signed] == [True, True, False, False]
    assert [rotated.recovers(each) for each in signed] == [True, True, True, False]
    assert rotated.bundle == ours.pem + second.pem


def test_a_host_certificate(client_identity: ClientIdentity) -> None:
    key = keys.new_key()
    certificate = client_identity.authority.sign_host(csr(key))
    host_id = keys.daemon_id(keys.spki(key.public_key()))
    assert list(extension(certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert set(extension(certificate, x509.SubjectAlternativeName)) == {
        x509.UniformResourceIdentifier(f"urn:virshmanager:host:{host_id}"),
        x509.DNSName(f"{host_id}.host.virshmanager.internal"),
    }
    now = datetime.now(UTC)
    assert now - certificate.not_valid_before_utc >= timedelta(minutes=59)
    assert 29 * DAY < certificate.not_valid_after_utc - now < 30 * DAY


def test_the_server_certificate(client_identity: ClientIdentity) -> None:
    certificate = client_identity.certificate
    assert list(extension(certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert list(extension(certificate, x509.SubjectAlternativeName)) == [
        x509.UniformResourceIdentifier(f"urn:virshmanager:server:{client_identity.server_id}")
    ]
    assert 6 * DAY < certificate.not_valid_after_utc - datetime.now(UTC) < 7 * DAY


def test_private_files_are_private(client_identity: ClientIdentity) -> None:
    folder = client_identity.file.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} >= {"ca.pem", "server.pem", "server_id"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_the_certificate_is_renewed_at_half_its_life(settings: Settings, tmp_path: Path) -> None:
    settings.VIRSHMANAGER_HOME = tmp_path
    begin = time.time()
    first = trust.server_identity()
    with time_machine.travel(begin + 3 * 86400):
        assert trust.server_identity() is first
    with time_machine.travel(begin + 4 * 86400):
        renewed = trust.server_identity()
        assert renewed.fingerprint != first.fingerprint
        assert trust.server_identity() is renewed
    assert renewed.server_id == first.server_id
    assert renewed.authority.issued(renewed.certificate)


@pytest.mark.parametrize(
    ("lives", "due", "valid"),
    [
        (-0.01, True, False),
        (0, False, True),
        (0.5, False, True),
        (0.51, True, True),
        (1, True, True),
        (1.01, True, False),
    ],
)
def test_when_the_certificate_is_due_and_when_it_is_valid(
    client_identity: ClientIdentity, *, lives: float, due: bool, valid: bool
) -> None:
    """A clock that was set back makes it due, too."""
    start, end = (
        client_identity.certificate.not_valid_before_utc,
        client_identity.certificate.not_valid_after_utc,
    )
    now = start + (end - start) * lives
    assert (client_identity.needs_renewal(now), client_identity.is_valid(now)) == (due, valid)


def test_a_certificate_is_renewed_when_another_authority_signs(
    client_identity: ClientIdentity, tmp_path: Path
) -> None:
    ours, other = client_identity.authority, another_authority(tmp_path / "other")
    follower = replace(other, others=(ours.certificate,))
    renewed = client.load(client_identity.file.parent, follower)
    assert replace(client_identity, authority=follower).needs_renewal(datetime.now(UTC))
    assert other.issued(renewed.certificate)
    assert renewed.server_id == client_identity.server_id


def test_a_certificate_of_an_authority_that_is_not_ours_is_none(
    client_identity: ClientIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not go on while nothing can be signed."""
    other = another_authority(tmp_path / "other")
    monkeypatch.setattr(asking, "exchange", down)
    with pytest.raises(SigningError):
        client.load(client_identity.file.parent, other)


def test_owned_hosts_are_verified_and_strangers_are_not(client_identity: ClientIdentity) -> None:
    owned, introducing = client_identity.owned_context(), client_identity.introducing_context()
    assert (owned.check_hostname, owned.verify_mode) == (True, ssl.CERT_REQUIRED)
    authority = client_identity.authority.certificate.public_bytes(Encoding.DER)
    assert owned.get_ca_certs(binary_form=True) == [authority]
    assert (introducing.check_hostname, introducing.verify_mode) == (False, ssl.CERT_NONE)
    assert {owned.minimum_version, introducing.minimum_version} == {ssl.TLSVersion.TLSv1_3}


def test_other_terms_of_tls_have_another_name(client_identity: ClientIdentity, tmp_path: Path) -> None:
    """Connections that were opened on other terms are not used again."""
    other = another_authority(tmp_path / "other")
    rotated = replace(client_identity.authority, others=(other.certificate,))
    shown = replace(client_identity, certificate=other.certificate)
    assert client_identity.terms == replace(client_identity).terms
    assert len({client_identity.terms, replace(client_identity, authority=rotated).terms, shown.terms}) == 3


def down(signer: Path, request: bytes) -> bytes:
    raise ConnectionRefusedError


def test_without_a_signer_there_is_no_first_certificate(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VIRSHMANAGER_HOME = tmp_path
    monkeypatch.setattr(asking, "exchange", down)
    with pytest.raises(SigningError) as refused:
        trust.server_identity()
    assert refused.value.problem == "signer_down"
    assert not trust.signer_answers()


def test_where_its_files_lie_and_whom_it_asks(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/trust.md says so, and backups and units of systemd rely on it."""
    asked: list[Path] = []

    def ask(signer: Path, request: bytes) -> bytes:
        asked.append(signer)
        return answer(tmp_path / "signer.sock", request)

    monkeypatch.setattr(asking, "exchange", ask)
    settings.VIRSHMANAGER_HOME = tmp_path
    assert trust.server_identity().file == tmp_path / "trust/server.pem"
    assert set(asked) == {tmp_path / "signer.sock"}
    asked.clear()
    settings.VIRSHMANAGER_SIGNER = "/run/elsewhere.sock"
    assert trust.signer_answers()
    assert asked == [Path("/run/elsewhere.sock")]


def test_without_a_signer_a_certificate_goes_on_to_its_end(
    client_identity: ClientIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def hangs(signer: Path, request: bytes) -> bytes:
        asked.append(signer)
        raise TimeoutError

    begin = time.time()
    with monkeypatch.context() as patch, time_machine.travel(begin + 4 * 86400, tick=False) as clock:
        patch.setattr(asking, "exchange", hangs)
        assert trust.server_identity().fingerprint == client_identity.fingerprint
        assert trust.server_identity().fingerprint == client_identity.fingerprint
        assert len(asked) == 1
        clock.shift(120)
        assert trust.server_identity().fingerprint == client_identity.fingerprint
        assert len(asked) == 2
        clock.shift(4 * 86400)
        with pytest.raises(SigningError):
            trust.server_identity()
    with time_machine.travel(begin + 4 * 86400 + 300):
        assert trust.server_identity().fingerprint != client_identity.fingerprint


def test_what_another_authority_signed_is_not_taken(
    client_identity: ClientIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "exchange", lambda _, request: answer(tmp_path / "other/socket", request))
    with pytest.raises(SigningError) as refused:
        client_identity.authority.sign_host(csr(keys.new_key()))
    assert refused.value.problem == "other_authority"


def test_who_looks_in_the_middle_of_a_take_over_sees_its_end(
    client_identity: ClientIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rotation is written before the new authority signs, and its certificate after."""
    begun = datetime.now(UTC)
    following = trust.start_rotation(take_over_by=begun + DAY, hurried=False)
    assert begun <= following.started_at <= datetime.now(UTC)
    seen: list[x509.Certificate] = []

    def look_between(signer: Path, request: bytes) -> bytes:
        seen.append(trust.ca().certificate)
        return answer(signer, request)

    with monkeypatch.context() as patch:
        patch.setattr(asking, "exchange", look_between)
        trust.take_over(following)
    assert seen == [client_identity.authority.certificate]
    assert trust.ca().certificate == following.new


def test_who_renews_at_once_renews_once(client_identity: ClientIdentity) -> None:
    """Else each would have another certificate than the file, and hosts would be shown both."""
    folder, ca = client_identity.file.parent, client_identity.authority
    signer, before = desk(folder.parent), desk(folder.parent).signed
    with time_machine.travel(time.time() + 4 * 86400), ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.load(folder, ca), range(16)))
    assert signer.signed == before + 1
    assert len({identity.fingerprint for identity in found}) == 1
    assert {identity.server_id for identity in found} == {client_identity.server_id}


def test_a_process_takes_what_another_renewed(client_identity: ClientIdentity) -> None:
    folder, ca = client_identity.file.parent, client_identity.authority
    with time_machine.travel(time.time() + 4 * 86400):
        by_another = client.load(folder, ca)
        assert trust.server_identity().fingerprint == by_another.fingerprint


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_damaged_certificate_is_replaced(client_identity: ClientIdentity, content: bytes) -> None:
    client_identity.file.write_bytes(content)
    found = client.load(client_identity.file.parent, client_identity.authority)
    assert found.server_id == client_identity.server_id
    found.owned_context()


@pytest.mark.parametrize("typed", ["", "ABCDEFGHJ", "ABCDEFGHJKM", "ABCDEFGHJU", "ABCDEFGHJ\N{KELVIN SIGN}X"])
def test_what_cannot_be_a_code_is_refused_without_repeating_it(typed: str) -> None:
    with pytest.raises(ValueError, match=r"^no adopt code$"):
        protocol.read_code(typed)


def test_a_code_is_read_however_a_person_types_it() -> None:
    assert protocol.read_code(" o1i l0-abcdz\n") == "01110ABCDZ"


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    """Computed by another program from the protocol; the daemon's tests read the same values."""
    values: dict[str, str] = json.loads((REPOSITORY / "daemon/tests/enrolment.json").read_text())
    return values


@pytest.mark.parametrize("method", ["join", "code"])
def test_keys_and_proofs_are_those_that_the_daemon_knows(
    known: dict[str, str], method: Literal["join", "code"]
) -> None:
    context = Context(
        method=method,
        server_id=uuid.UUID(known["server_id"]),
        daemon_id=uuid.UUID(known["daemon_id"]),
        server_nonce=bytes.fromhex(known["server_nonce"]),
        daemon_nonce=bytes.fromhex(known["daemon_nonce"]),
        host_key=known["host_key"].encode(),
        ca_key=known["ca_key"].encode(),
    )
    if method == "join":
        key = derive_key(bytes.fromhex(known["secret"]))
        assert key.hex() == known["join_key"]
    else:
        key = protocol.adopt_key(known["code"], bytes.fromhex(known["salt"]))
        assert key.hex() == known["adopt_key"]
        finish = context.finish_proof(key, known["certificate"].encode(), known["ca"].encode())
        assert context.server_proof(key).hex() == known["code_server"]
        assert finish.hex() == known["code_finish"]
    assert context.host_proof(key, known["csr"].encode()).hex() == known[f"{method}_host"]
