"""The adopt code on disk: what is kept of it, for how long, and for whom."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from unittest import mock

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from virshmanagerd import adoptcode, certificates, enrolment, files
from virshmanagerd.adoptcode import LIFE, CodeFile

KEY = certificates.new_key()
NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.timezone.utc)
MIDNIGHT = dt.datetime(2030, 1, 2, tzinfo=dt.timezone.utc)


def test_without_a_file_there_is_none(tmp_path: Path) -> None:
    assert CodeFile(tmp_path).read() is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": [], "made_at": ""}', '{"keys": {"*": "*"}}'])
def test_a_damaged_file_is_no_code_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    path = tmp_path / adoptcode.FILE
    path.write_text(content)
    file = CodeFile(tmp_path)
    assert file.read() is None
    assert file.read() is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"{path} cannot be read" in caplog.text


def test_it_expires(tmp_path: Path) -> None:
    adoptcode.make(tmp_path, KEY, NOON)
    code = CodeFile(tmp_path).read()
    assert code
    assert not code.expired(NOON + LIFE - dt.timedelta(seconds=1))
    assert code.expired(NOON + LIFE)


def test_a_clock_that_is_set_back_does_not_make_it_live_longer(tmp_path: Path) -> None:
    adoptcode.make(tmp_path, KEY, NOON)
    code = CodeFile(tmp_path).read()
    assert code
    assert code.expired(NOON - dt.timedelta(hours=1))


def test_a_new_one_takes_the_place_of_the_old(tmp_path: Path) -> None:
    file = CodeFile(tmp_path)
    adoptcode.make(tmp_path, KEY, NOON)
    first = file.read()
    adoptcode.make(tmp_path, KEY, NOON)
    assert file.read() not in (None, first)


def test_a_spent_one_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = CodeFile(tmp_path)
    adoptcode.make(tmp_path, KEY, NOON)
    assert file.read()
    file.spend()
    assert file.read() is None
    assert not (tmp_path / adoptcode.FILE).exists()
    assert not caplog.records


def test_one_that_cannot_be_removed_is_spent_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = CodeFile(tmp_path)
    adoptcode.make(tmp_path, KEY, NOON)
    assert file.read()
    with mock.patch.object(Path, "unlink", side_effect=PermissionError(13, "Permission denied")):
        file.spend()
    assert file.read() is None
    assert f"{tmp_path / adoptcode.FILE} cannot be removed: Permission denied" in caplog.text


def test_only_derived_keys_are_kept_for_the_daemon_alone(tmp_path: Path) -> None:
    text = adoptcode.make(tmp_path, KEY, NOON)
    path = tmp_path / adoptcode.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert text not in path.read_text()
    code = CodeFile(tmp_path).read()
    assert code
    salt = adoptcode.salt(KEY, NOON)
    assert code.keys == {salt: enrolment.adopt_key(text, salt)}
    assert code.keys[salt].hex() not in repr(code)


def test_what_root_makes_belongs_to_the_daemon(tmp_path: Path) -> None:
    """The command runs as root, the daemon as a user of its own: who owns the directory."""
    owner = tmp_path.stat()
    with mock.patch("os.geteuid", return_value=owner.st_uid + 1), mock.patch("os.fchown") as given:
        files.write_private(tmp_path / "file", b"")
    assert given.call_args.args[1:] == (owner.st_uid, owner.st_gid)


def test_fifty_bits_that_a_person_can_read(tmp_path: Path) -> None:
    assert len(set(adoptcode.ALPHABET)) ** 10 == 2**50
    assert not set("ILOU") & set(adoptcode.ALPHABET)
    code = adoptcode.make(tmp_path, KEY, NOON)
    assert len(code) == 10
    assert set(code) <= set(adoptcode.ALPHABET)


def test_the_salt_of_a_known_key() -> None:
    """The command that makes a code may be newer than the daemon that tells the salt. Computed by OpenSSL."""
    key = ec.derive_private_key(1, ec.SECP256R1())
    assert adoptcode.salt(key, NOON).hex() == "48ab910c18ade43449cf9364d8967d3d"


def test_the_salt_is_of_the_host_and_the_day_and_not_of_the_code(tmp_path: Path) -> None:
    before = adoptcode.salt(KEY, NOON)
    adoptcode.make(tmp_path, KEY, NOON)
    assert adoptcode.salt(KEY, NOON + dt.timedelta(hours=1)) == before
    assert adoptcode.salt(KEY, NOON + dt.timedelta(days=1)) != before
    assert adoptcode.salt(certificates.new_key(), NOON) != before
    assert len(before) == adoptcode.SALT_BYTES


def test_a_code_outlives_the_day_it_was_made(tmp_path: Path) -> None:
    made = MIDNIGHT - dt.timedelta(minutes=1)
    adoptcode.make(tmp_path, KEY, made)
    code = CodeFile(tmp_path).read()
    assert code
    assert set(code.keys) == {adoptcode.salt(KEY, made), adoptcode.salt(KEY, MIDNIGHT)}
