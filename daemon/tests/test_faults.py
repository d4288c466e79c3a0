"""The hook by which tests hold an operation at a step."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from virshmanagerd import faults


def waits(step: str) -> threading.Thread:
    thread = threading.Thread(target=faults.at, args=[step], daemon=True)
    thread.start()
    return thread


def until_there(path: Path) -> None:
    ends_at = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < ends_at, path
        time.sleep(0.01)


def test_without_the_variable_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(faults.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("started").touch()
    faults.at("started")
    assert [path.name for path in tmp_path.iterdir()] == ["started"]


def test_a_step_that_nobody_holds_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faults.VARIABLE, str(tmp_path))
    (tmp_path / "called").touch()
    faults.at("started")
    assert [path.name for path in tmp_path.iterdir()] == ["called"]


def test_one_waits_until_it_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faults.VARIABLE, str(tmp_path))
    (tmp_path / "started").touch()
    held = tmp_path / "started.held"
    first = waits("started")
    until_there(held)
    second = waits("started")
    second.join(5)
    assert (first.is_alive(), second.is_alive()) == (True, False)
    assert held.read_text() in {"", str(os.getpid())}
    held.unlink()
    first.join(5)
    assert not first.is_alive()


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faults.VARIABLE, str(tmp_path))
    monkeypatch.setattr(faults, "LONGEST_SECONDS", 0.05)
    (tmp_path / "started").touch()
    faults.at("started")
    assert (tmp_path / "started.held").exists()
