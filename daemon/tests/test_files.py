"""Files that survive a crash."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from virshmanagerd import files


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_private(path, b"old")
    with (
        mock.patch.object(os, "fsync", side_effect=OSError(28, "full")),
        pytest.raises(OSError, match="full"),
    ):
        files.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("open to all")
    path.chmod(0o666)
    files.write_private(path, b"mine")
    assert path.read_bytes() == b"mine"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    files.make_private_directory(path)
    path.chmod(0o777)
    files.make_private_directory(path)
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_signature_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen = {files.signature(path)}
    for _ in range(3):
        files.write_private(path, b"same")
        seen.add(files.signature(path))
    assert len(seen) >= 3
    assert None in seen


def test_remove(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    assert files.remove(path)
    assert not files.remove(path)
