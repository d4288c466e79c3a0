"""join.json: what is refused, and how a spent key is never used again."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import logging
import os
import ssl
import warnings
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from authority import Authority
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd import certificates, enrolment, joinkey, tls
from virshmanagerd.joinkey import JoinFile, JoinFileError


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "version"),
        ({"key_id": 7}, "key_id"),
        ({"key_id": "seven"}, "key_id"),
        ({"secret": "*"}, "base64"),
        ({"secret": base64.b64encode(b"short").decode()}, "32 bytes"),
        ({"secret": "é"}, "base64"),
        ({"ca": "nonsense"}, "ca"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "time zone"),
        ({"expires_at": None}, "expires_at"),
    ],
)
def test_a_wrong_part_is_named(authority: Authority, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(JoinFileError, match=reason) as error:
        joinkey.parse(json.dumps(authority.join_file(**changes)).encode())
    assert authority.join_file()["secret"] not in str(error.value)


@pytest.mark.parametrize(("data", "reason"), [(b"{", "not JSON"), (b"[]", "not a JSON object")])
def test_what_is_no_object_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(JoinFileError, match=reason):
        joinkey.parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(JoinFileError):
        joinkey.parse(data)


@given(
    st.dictionaries(
        st.sampled_from(["version", "key_id", "secret", "ca", "expires_at"]),
        st.just(1) | st.text(max_size=60) | st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    )
)
def test_any_object_is_refused_in_words(found: dict[str, Any]) -> None:
    with pytest.raises(JoinFileError):
        joinkey.parse(json.dumps(found).encode())


@given(where=st.integers(0, 10_000), wrong=st.integers(1, 255))
def test_a_damaged_ca_is_refused_in_words(authority: Authority, where: int, wrong: int) -> None:
    """One wrong byte: it is refused, or TLS can use it."""
    der = bytearray(authority.certificate.public_bytes(Encoding.DER))
    der[where % len(der)] ^= wrong
    found = authority.join_file(ca=ssl.DER_cert_to_PEM_cert(bytes(der)))
    with contextlib.suppress(JoinFileError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library says in advance what it will refuse one day
        tls.check_ca(joinkey.parse(json.dumps(found).encode()).ca)


def test_a_ca_with_an_unknown_key_is_refused(authority: Authority) -> None:
    der = authority.certificate.public_bytes(Encoding.DER)
    known = bytes.fromhex("2a8648ce3d0201")  # id-ecPublicKey
    ca = ssl.DER_cert_to_PEM_cert(der.replace(known, known[:-1] + b"\x63"))
    with pytest.raises(JoinFileError, match="ca: its key cannot be read"):
        joinkey.parse(json.dumps(authority.join_file(ca=ca)).encode())


def test_deep_json_is_refused() -> None:
    with pytest.raises(JoinFileError):
        joinkey.parse(b"[" * 60_000)


@pytest.mark.parametrize("text", ["2030-01-02T03:04:05Z", "2030-01-02T05:04:05+02:00"])
def test_it_works(authority: Authority, text: str) -> None:
    key = joinkey.parse(json.dumps(authority.join_file(expires_at=text)).encode())
    assert key.key_id == authority.key_id
    assert key.key == enrolment.join_key(authority.secret)
    assert key.expires_at == dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    assert key.expires_at.tzinfo is dt.timezone.utc  # it is shown as such
    assert not key.expired(key.expires_at - dt.timedelta(seconds=1))
    assert key.expired(key.expires_at)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "join.json"


def test_a_private_file_is_used_as_it_is(
    path: Path, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    authority.drop(path, mode=0o400)
    assert JoinFile(path, tmp_path).read()
    assert path.stat().st_mode & 0o777 == 0o400
    assert not caplog.records


def test_a_loose_mode_is_tightened(
    path: Path, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    authority.drop(path, mode=0o644)
    file = JoinFile(path, tmp_path)
    assert file.read()
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"{path} was open to others" in caplog.text
    caplog.clear()
    assert file.read()
    assert not caplog.records


def test_a_mode_that_cannot_be_tightened_is_no_refusal(
    path: Path, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    authority.drop(path, mode=0o644)
    with mock.patch.object(os, "fchmod", side_effect=PermissionError):
        assert JoinFile(path, tmp_path).read()
    assert f"{path} is open to others" in caplog.text


@pytest.mark.timeout(10)
def test_a_pipe_is_no_file(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody writes into it: to read it is to wait for ever, with the daemon's lock."""
    os.mkfifo(path)
    assert JoinFile(path, tmp_path).read() is None
    assert f"{path} is not used: it is no regular file" in caplog.text


def test_a_file_at_the_end_of_a_link_is_tightened_when_it_is_a_join_key_alone(
    path: Path, tmp_path: Path, authority: Authority
) -> None:
    other, real = tmp_path / "passwd", tmp_path / "real.json"
    other.write_text("root:x:0:0::/root:/bin/bash")
    other.chmod(0o644)
    path.symlink_to(other)
    assert JoinFile(path, tmp_path).read() is None
    assert other.stat().st_mode & 0o777 == 0o644
    authority.drop(real, mode=0o644)
    path.unlink()
    path.symlink_to(real)
    assert JoinFile(path, tmp_path).read()
    assert real.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_used_is_said_once(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("{")
    path.chmod(0o600)
    file = JoinFile(path, tmp_path)
    assert file.read() is None
    assert file.read() is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"{path} is not used: it is not JSON" in caplog.text


def test_a_huge_file_is_not_read(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A terabyte is more than memory holds."""
    path.touch()
    os.truncate(path, 2**40)
    assert JoinFile(path, tmp_path).read() is None
    assert "more than" in caplog.text


def test_a_file_has_65536_bytes_at_most(path: Path, tmp_path: Path, authority: Authority) -> None:
    file, content = JoinFile(path, tmp_path), json.dumps(authority.join_file()).encode()
    path.write_bytes(content.ljust(65536))
    assert file.read()
    path.write_bytes(content.ljust(65537))
    assert file.read() is None


def test_a_replaced_file_is_noticed(
    path: Path, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    file = JoinFile(path, tmp_path)
    assert file.read() is None
    authority.drop(path)
    assert file.read()
    authority.drop(path, expires_at="2001-01-01T00:00:00Z")
    found = file.read()
    assert found
    assert found.expired(certificates.now())
    path.unlink()
    assert file.read() is None
    assert not caplog.records


def test_a_spent_file_is_removed(path: Path, tmp_path: Path, authority: Authority) -> None:
    authority.drop(path)
    file = JoinFile(path, tmp_path)
    file.read()
    file.spend(authority.key_id)
    assert not path.exists()
    assert file.read() is None


def test_another_key_is_left_alone(path: Path, tmp_path: Path, authority: Authority) -> None:
    authority.drop(path)
    file = JoinFile(path, tmp_path)
    file.read()
    file.spend("another")
    assert file.read()


def test_a_spent_file_that_stays_is_remembered(
    path: Path, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    authority.drop(path)
    file = JoinFile(path, tmp_path)
    file.read()
    with mock.patch.object(Path, "unlink", side_effect=PermissionError(13, "Permission denied")):
        file.spend(authority.key_id)
    assert f"{path} is spent, but cannot be removed (Permission denied)" in caplog.text
    assert file.read() is None
    assert JoinFile(path, tmp_path).read() is None
    assert f"{path} is not used: the key {authority.key_id} is spent" in caplog.text
    authority.drop(path)
    assert file.read() is None


def test_every_spent_key_is_remembered(path: Path, tmp_path: Path, authority: Authority) -> None:
    file = JoinFile(path, tmp_path)
    others = [str(uuid4()) for _ in range(2)]
    with mock.patch.object(Path, "unlink", side_effect=PermissionError(13, "Permission denied")):
        for key_id in (*others, authority.key_id):
            authority.drop(path, key_id=key_id)
            file.read()
            file.spend(key_id)
    for key_id in (*others, authority.key_id):
        authority.drop(path, key_id=key_id)
        assert JoinFile(path, tmp_path).read() is None, key_id


@pytest.mark.parametrize("content", ["", "7", "null", "{}"])
def test_a_damaged_list_of_spent_keys_is_an_empty_one(
    path: Path, tmp_path: Path, authority: Authority, content: str
) -> None:
    (tmp_path / joinkey.SPENT).write_text(content)
    authority.drop(path)
    file = JoinFile(path, tmp_path)
    assert file.read()
    with mock.patch.object(Path, "unlink", side_effect=PermissionError(13, "Permission denied")):
        file.spend(authority.key_id)
    assert JoinFile(path, tmp_path).read() is None


def test_the_newest_256_spent_keys_are_remembered_for_the_daemon_alone(
    path: Path, tmp_path: Path, authority: Authority
) -> None:
    spent = tmp_path / joinkey.SPENT
    spent.write_text(json.dumps([str(uuid4()) for _ in range(256)]))
    kept = json.loads(spent.read_text())[1:]
    authority.drop(path)
    file = JoinFile(path, tmp_path)
    file.read()
    with mock.patch.object(Path, "unlink", side_effect=PermissionError(13, "Permission denied")):
        file.spend(authority.key_id)
    assert json.loads(spent.read_text()) == [*kept, authority.key_id]
    assert spent.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_no_reason_to_fail(
    path: Path, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    authority.drop(path)
    file = JoinFile(path, tmp_path)
    file.read()
    with (
        mock.patch.object(Path, "unlink", side_effect=PermissionError(13, "Permission denied")),
        mock.patch("virshmanagerd.files.write_private", side_effect=OSError(28, "No space left")),
    ):
        file.spend(authority.key_id)
    assert file.read() is None
    assert f"{authority.key_id} cannot be remembered: No space left" in caplog.text
