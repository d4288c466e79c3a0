"""What root sees and does on the host."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from unittest import mock

import pytest
from authority import Authority
from doors import World

from virshmanagerd import adoptcode, commands
from virshmanagerd.commands import CommandError
from virshmanagerd.config import Config


def status(config: Config) -> str:
    return "\n".join(commands.status(config))


def test_before_the_first_start(tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path / "state")
    assert "has not been started yet" in status(config)
    assert "nothing to forget" in "".join(commands.reset(config))
    assert not config.state_dir.exists()


def test_a_damaged_state_is_an_error(world: World) -> None:
    config = world.host().daemon.config
    (config.state_dir / "host.key").write_text("{")
    with pytest.raises(CommandError, match="cannot be read"):
        status(config)


def test_without_permission(world: World) -> None:
    config = world.host().daemon.config
    with (
        mock.patch.object(Path, "unlink", side_effect=PermissionError(13, "Permission denied")),
        pytest.raises(CommandError, match="Permission denied"),
    ):
        list(commands.reset(config))


def test_status_of_an_unclaimed_host(world: World, authority: Authority) -> None:
    host = world.host()
    config = host.daemon.config
    assert host.daemon.identity.id in status(config)
    assert f"key:        {host.daemon.identity.spki_sha256.hex(':').upper()}" in status(config)
    assert "unclaimed" in status(config)
    assert "join key:   none" in status(config)
    config.join_file.write_text("{")
    assert "cannot be used" in status(config)
    authority.drop(config.join_file)
    assert f"{authority.key_id}, usable until" in status(config)
    authority.drop(config.join_file, expires_at="2001-01-01T00:00:00Z")
    assert "expired since 2001-01-01" in status(config)
    assert "secret" not in status(config)


def test_status_of_an_owned_host(world: World, authority: Authority) -> None:
    text = status(world.owned(authority).daemon.config)
    assert "state:      owned" in text
    assert authority.server_id in text


def code(config: Config) -> str:
    """The code alone."""
    return next(commands.code(config)).replace("-", "")


def test_no_code_before_the_first_start(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not been started yet"):
        code(Config(state_dir=tmp_path / "state"))


def test_no_code_for_an_owned_host(world: World, authority: Authority) -> None:
    config = world.owned(authority).daemon.config
    with pytest.raises(CommandError, match=f"owned by the server {authority.server_id}.*virshmanagerd reset"):
        code(config)
    assert not (config.state_dir / adoptcode.FILE).exists()


def test_a_code_that_cannot_be_stored(world: World) -> None:
    config = world.host().daemon.config
    with (
        mock.patch("os.replace", side_effect=OSError(28, "No space left on device")),
        pytest.raises(CommandError, match="No space left"),
    ):
        code(config)


def test_a_code_is_shown_once_and_found_by_the_running_daemon(world: World) -> None:
    host = world.host()
    config = host.daemon.config
    assert "adopt code: none" in status(config)
    first, _, *advice = commands.code(config)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", first)
    assert "type the code there" in " ".join(advice)
    assert host.daemon.adopt_code() is not None
    assert "adopt code: usable until" in status(config)
    assert first not in status(config)
    assert code(config) != first.replace("-", "")


def test_an_expired_code_is_shown_as_that(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    config = world.host().daemon.config
    code(config)
    monkeypatch.setattr(adoptcode, "LIFE", dt.timedelta(0))
    assert "adopt code: expired since" in status(config)


def test_reset_forgets_the_code(world: World) -> None:
    config = world.host().daemon.config
    code(config)
    list(commands.reset(config))
    assert not (config.state_dir / adoptcode.FILE).exists()


def test_reset_keeps_spent_keys_spent(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    config = host.daemon.config
    spent = config.state_dir / "spent-join-keys.json"
    spent.write_text(f'["{authority.key_id}"]')
    list(commands.reset(config))
    assert spent.exists()
    host.daemon.poll()
    authority.drop(config.join_file)
    assert host.daemon.usable_join_key() is None
    assert host.daemon.ownership.state == "unclaimed"
