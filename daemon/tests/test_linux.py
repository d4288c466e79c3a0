from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from virshmanagerd import linux


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(linux, "PROC", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("proc")
def test_a_system_without_proc_says_nothing() -> None:
    assert linux.memory() == (None, None)
    assert linux.cpu_model() is None
    assert linux.boot_id() is None
    assert linux.cpu_time_ns() is None


@pytest.mark.parametrize("text", ["cpu", "intr 1 2 3", "cpu 1 two 3", "cpu -1"])
def test_nonsense_is_no_time(proc: Path, text: str) -> None:
    (proc / "stat").write_text(text + "\n")
    assert not linux.cpu_time_ns()


def test_time_that_is_idle_or_counted_twice_is_left_out(proc: Path) -> None:
    (proc / "stat").write_text("cpu  1 20 300 9999 9999 4000 50000 600000 9999 9999\ncpu0 1 1 1\n")
    assert linux.cpu_time_ns() == 654_321 * 10_000_000


def test_nonsense_is_left_out(proc: Path) -> None:
    (proc / "meminfo").write_bytes(b"MemTotal: lots kB\n\xff\xfe\nMemFree:\n")
    (proc / "cpuinfo").write_text("model name\n: :\nmodel name : \x1b\x00\n")
    assert linux.memory() == (None, None)
    assert linux.cpu_model() is None


def test_the_page_cache_counts_as_free(proc: Path) -> None:
    (proc / "meminfo").write_text(
        "MemTotal: 1000 kB\nMemFree: 10 kB\nBuffers: 20 kB\nCached: 30 kB\nSwapCached: 99 kB\n"
    )
    assert linux.memory() == (1000 * 1024, 60 * 1024)


def test_the_processor_has_a_name(proc: Path) -> None:
    (proc / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Fast: One\nmodel name\t: other\n")
    assert linux.cpu_model() == "A Fast: One"


def test_this_machine_answers() -> None:
    total, free = linux.memory()
    assert total
    assert free
    assert free <= total
    assert uuid.UUID(linux.boot_id())
    assert len(linux.load() or ()) == 3
    assert linux.cpus()
