"""The key of the authority on the disk: sealed, and opened by its master key alone."""

import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hosts.trust import keys, sealing
from hosts.trust.signer.issuer import Issuer
from hosts.trust.signer.vault import KeptSuccession, VaultError, open_issuer

MASTER = "correct-horse-battery-staple"
GIVEN = {"VIRSHMANAGER_MASTER_KEY": MASTER}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "SCRYPT_N", 2)


@pytest.fixture
def made(tmp_path: Path) -> Issuer:
    """The authority in `tmp_path`, sealed by MASTER."""
    return open_issuer(tmp_path, GIVEN)


def refused(folder: Path, **environment: str) -> str:
    """Why the key cannot be had: one line, in which no master key is."""
    with pytest.raises(VaultError) as error:
        open_issuer(folder, environment)
    text = str(error.value)
    assert "\n" not in text
    assert MASTER not in text
    return text


def test_two_master_keys_are_refused(tmp_path: Path) -> None:
    text = refused(tmp_path, VIRSHMANAGER_MASTER_KEY=MASTER, VIRSHMANAGER_MASTER_KEY_FILE="/x")
    assert "both set" in text
    assert not list(tmp_path.iterdir())


def test_a_short_master_key_is_refused(tmp_path: Path) -> None:
    assert "at least 20 characters, not 3" in refused(tmp_path, VIRSHMANAGER_MASTER_KEY="abc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff" * 30])
def test_a_file_without_a_master_key_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "master"
    if content is not None:
        path.write_bytes(content)
    text = refused(tmp_path / "trust", VIRSHMANAGER_MASTER_KEY_FILE=str(path))
    assert str(path) in text


def test_another_master_key_opens_nothing(made: Issuer, tmp_path: Path) -> None:
    text = refused(tmp_path, VIRSHMANAGER_MASTER_KEY="another-master-key-of-ours")
    assert "does not open" in text
    assert "docs/trust.md" in text


def test_a_lost_master_key_is_not_made_anew(made: Issuer, tmp_path: Path) -> None:
    assert "VIRSHMANAGER_MASTER_KEY" in refused(tmp_path)
    assert not (tmp_path / "master.key").exists()


def test_a_lost_key_is_not_made_anew(made: Issuer, tmp_path: Path) -> None:
    """The hosts would refuse what a new one signs under the name of the old."""
    (tmp_path / "ca.key").unlink()
    assert "is gone" in refused(tmp_path, **GIVEN)
    assert not (tmp_path / "ca.key").exists()


def test_the_key_of_another_authority_is_refused(made: Issuer, tmp_path: Path) -> None:
    open_issuer(_folder(tmp_path / "other"), GIVEN)
    (tmp_path / "other" / "ca.key").replace(tmp_path / "ca.key")
    assert "not of the key beside it" in refused(tmp_path, **GIVEN)


@pytest.mark.parametrize(("name", "words"), [("ca.key", "holds no key"), ("ca.pem", "holds no certificate")])
def test_a_damaged_file_is_left_as_it_is(made: Issuer, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"garbage")
    assert words in refused(tmp_path, **GIVEN)
    assert (tmp_path / name).read_bytes() == b"garbage"


@pytest.mark.parametrize("position", [0, 25, 40, 60, -1])
def test_each_bit_of_a_seal_counts(position: int) -> None:
    sealed = bytearray(sealing.seal(b"secret", MASTER, purpose=b"a"))
    assert sealing.unseal(bytes(sealed), MASTER, purpose=b"a") == b"secret"
    sealed[position] ^= 1
    with pytest.raises(ValueError, match=r"sealed|damaged"):
        sealing.unseal(bytes(sealed), MASTER, purpose=b"a")


def test_a_seal_is_what_its_version_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be years until one is opened: neither format nor parameters may change under this name."""
    monkeypatch.undo()
    salt, nonce = b"s" * 16, b"n" * 12
    key = hashlib.scrypt(b"secret", salt=salt, n=2**17, r=8, p=1, maxmem=2**28, dklen=32)
    header = b"virshmanager sealed 1\n"
    by_another = header + salt + nonce + AESGCM(key).encrypt(nonce, b"plain", header + b"purpose")
    assert sealing.unseal(by_another, "secret", purpose=b"purpose") == b"plain"


def test_each_seal_has_a_salt_and_a_nonce_of_its_own() -> None:
    seals = [sealing.seal(b"secret", MASTER, purpose=b"a") for _ in range(2)]
    start = len(sealing.HEADER)
    for first, end in ((start, start + 16), (start + 16, start + 28)):
        assert len({sealed[first:end] for sealed in seals}) == 2
    # Salt and nonce, what was sealed, and the tag of GCM.
    assert {len(sealed) for sealed in seals} == {start + 16 + 12 + len(b"secret") + 16}


def test_a_seal_is_for_one_purpose() -> None:
    with pytest.raises(ValueError, match="damaged"):
        sealing.unseal(sealing.seal(b"secret", MASTER, purpose=b"a"), MASTER, purpose=b"b")


def test_a_seal_that_was_cut_is_none() -> None:
    with pytest.raises(ValueError, match="not sealed"):
        sealing.unseal(sealing.HEADER + b"short", MASTER, purpose=b"a")


def test_the_file_does_not_hold_the_key(made: Issuer, tmp_path: Path) -> None:
    content = (tmp_path / "ca.key").read_bytes()
    number = made.key.private_numbers().private_value.to_bytes(32, "big")
    der = made.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert number in der
    assert sealing.is_sealed(content)
    assert b"PRIVATE KEY" not in content
    assert number not in content
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_key_that_lay_unsealed_is_sealed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = keys.new_key()
    (tmp_path / "ca.key").write_bytes(keys.key_to_pem(key))
    assert open_issuer(tmp_path, GIVEN).key.public_key() == key.public_key()
    assert sealing.is_sealed((tmp_path / "ca.key").read_bytes())
    assert "was not sealed, and is now" in caplog.text
    assert open_issuer(tmp_path, GIVEN).key.public_key() == key.public_key()


def test_a_file_that_others_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "master"
    path.write_text(f"{MASTER}\n")
    path.chmod(0o644)
    first = open_issuer(_folder(tmp_path / "trust"), {"VIRSHMANAGER_MASTER_KEY_FILE": str(path)})
    assert "chmod 600" in caplog.text
    assert open_issuer(tmp_path / "trust", GIVEN).certificate == first.certificate


def test_threads_that_start_at_once_make_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: open_issuer(tmp_path, {}), range(32)))
    assert len({issuer.certificate for issuer in found}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"ca.key", "ca.pem", "master.key"}


def test_without_a_master_key_one_is_made_beside_it(tmp_path: Path) -> None:
    first = open_issuer(tmp_path, {})
    assert len((tmp_path / "master.key").read_text()) == 43
    assert open_issuer(tmp_path, {}).certificate == first.certificate
    # It may be moved elsewhere.
    moved = tmp_path.with_name("moved")
    (tmp_path / "master.key").rename(moved)
    elsewhere = open_issuer(tmp_path, {"VIRSHMANAGER_MASTER_KEY_FILE": str(moved)})
    assert elsewhere.certificate == first.certificate


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_authority_that_follows_is_sealed_beside_the_present_one_and_takes_its_place(
    tmp_path: Path,
) -> None:
    first = KeptSuccession(tmp_path, GIVEN)
    before, following = first.present, first.prepare()
    assert sealing.is_sealed((tmp_path / "next.key").read_bytes())
    again = KeptSuccession(tmp_path, GIVEN)
    assert again.following is not None
    assert again.following.certificate == again.prepare().certificate == following.certificate
    again.take_over(following.fingerprint)
    assert names(tmp_path) == {"ca.key", "ca.pem"}
    after = KeptSuccession(tmp_path, GIVEN)
    assert (after.present.certificate, after.following) == (following.certificate, None)
    assert after.present.certificate != before.certificate


def test_a_take_over_that_was_cut_between_its_two_steps_is_completed(tmp_path: Path) -> None:
    following = KeptSuccession(tmp_path, GIVEN).prepare()
    (tmp_path / "next.key").replace(tmp_path / "ca.key")
    after = KeptSuccession(tmp_path, GIVEN)
    assert (after.present.certificate, after.following) == (following.certificate, None)
    assert names(tmp_path) == {"ca.key", "ca.pem"}


def test_a_following_authority_whose_key_was_made_and_no_more_is_completed(tmp_path: Path) -> None:
    KeptSuccession(tmp_path, GIVEN).prepare()
    (tmp_path / "next.pem").unlink()
    following = KeptSuccession(tmp_path, GIVEN).following
    assert following is not None
    assert following.certificate.public_key() == following.key.public_key()
