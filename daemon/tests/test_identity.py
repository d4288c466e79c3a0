"""Key, id and machine: made once, kept, and never shared by two machines."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from unittest import mock

import pytest

from virshmanagerd import certificates, identity
from virshmanagerd.config import Config
from virshmanagerd.identity import IdentityError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("0123456789abcdef0123456789abcdef\n")
    return Config(state_dir=tmp_path / "state", machine_id_file=machine_id)


@pytest.mark.parametrize("name", ["host.key", "identity.json"])
def test_a_damaged_file_is_no_first_start(config: Config, name: str) -> None:
    identity.load(config)
    (config.state_dir / name).write_text("{")
    with pytest.raises(IdentityError, match=name):
        identity.load(config)
    assert (config.state_dir / name).read_text() == "{"


def test_a_state_directory_that_cannot_be_made(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError, match="state directory"):
        identity.load(dataclasses.replace(config, state_dir=tmp_path / "file" / "state"))


def test_loose_modes_are_tightened(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    identity.load(config)
    config.state_dir.chmod(0o755)
    (config.state_dir / "host.key").chmod(0o644)
    identity.load(config)
    assert config.state_dir.stat().st_mode & 0o777 == 0o700
    assert (config.state_dir / "host.key").stat().st_mode & 0o777 == 0o600
    assert "was open to others" in caplog.text


def test_what_a_kill_left_half_written_is_removed(config: Config) -> None:
    """It may hold a key."""
    known = identity.load(config).id
    (config.state_dir / ".host.key.x1y2z3").write_text("half a key")
    (config.state_dir / "notes").write_text("of root")
    assert identity.load(config).id == known
    found = {path.name for path in config.state_dir.iterdir()}
    assert found == {"host.key", "identity.json", "notes"}


def test_a_clone_gets_an_identity_of_its_own(config: Config) -> None:
    original = identity.load(config)
    (config.state_dir / "owner.json").write_text("of the original")
    (config.state_dir / "adopt-code.json").write_text("of the original")
    (config.state_dir / "journal.sqlite").write_text("of the original")
    config.machine_id_file.write_text("f" * 32)
    clone = identity.load(config)
    assert clone.id != original.id
    assert not (config.state_dir / "adopt-code.json").exists()
    assert not (config.state_dir / "journal.sqlite").exists()
    assert clone.notice == identity.CLONED
    assert not (config.state_dir / "owner.json").exists()
    assert identity.load(config) == dataclasses.replace(clone, key=mock.ANY)


def test_a_crash_while_a_clone_is_settled_leaves_no_key_of_the_original(config: Config) -> None:
    original = identity.load(config)
    config.machine_id_file.write_text("f" * 32)
    with mock.patch.object(identity._Record, "save", side_effect=OSError), pytest.raises(IdentityError):
        identity.load(config)
    assert identity.load(config).id != original.id


def test_a_missing_machine_id_is_no_error(config: Config) -> None:
    config.machine_id_file.unlink()
    first = identity.load(config)
    assert first.machine_id is None
    config.machine_id_file.write_text("f" * 32)
    second = identity.load(config)
    assert (second.id, second.notice) == (first.id, "")
    assert second.machine_id
    config.machine_id_file.unlink()
    assert identity.load(config).id == first.id


@pytest.mark.parametrize("text", ["", "uninitialized\n", "é"])
def test_what_is_no_machine_id(config: Config, text: str) -> None:
    config.machine_id_file.write_text(text)
    assert identity.read_machine_id(config.machine_id_file) is None


def test_the_machine_id_itself_is_not_told(config: Config) -> None:
    found = identity.load(config).machine_id
    assert found
    assert len(found) == 64
    assert "0123456789abcdef" not in found
    assert (
        "0123456789abcdef" not in json.loads((config.state_dir / "identity.json").read_text())["machine_id"]
    )


def test_it_lasts(config: Config) -> None:
    first = identity.load(config)
    assert first.id == certificates.host_id(first.key.public_key())
    second = identity.load(config)
    assert second.id == first.id
    modes = {path.stat().st_mode & 0o777 for path in config.state_dir.iterdir()}
    assert modes == {0o600}
