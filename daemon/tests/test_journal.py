"""The journal of operations: what is in it survives, and what cannot be written is said."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sqlite3
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from virshmanagerd import clock, journal
from virshmanagerd.journal import Entry, Journal, JournalUnwritable


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def entry(**changes: object) -> Entry:
    values: dict[str, object] = {
        "id": str(uuid.uuid4()),
        "fingerprint": "f",
        "verb": "start",
        "target": {"type": "domain", "uuid": "u"},
        "args": {"xml": "\ud800 é"},
        "precondition": {"xml_hash": None},
        "deadline": clock.now() + 60,
    }
    return Entry(**{**values, **changes})  # type: ignore[arg-type]


def reopened(opened: Journal, folder: Path) -> Journal:
    opened.close()
    return Journal(folder)


def refuses(opened: Journal) -> None:
    """No way in, and each says so."""
    for use in (
        lambda: opened.find("x"),
        opened.open_entries,
        lambda: opened.receive(entry(), at_once=True),
        lambda: opened.receive(entry(), at_once=False),
        lambda: opened.start("x", {}),
        lambda: opened.finish("x", "done", {}, None),
        lambda: opened.acknowledge(["x"]),
        opened.prune,
    ):
        with pytest.raises(JournalUnwritable, match="journal"):
            use()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).mkdir()
    refuses(Journal(tmp_path))
    refuses(Journal(tmp_path / "missing"))


def test_what_another_process_has_open(
    opened: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them would both run what is open."""
    monkeypatch.setattr(journal, "LOCK_SECONDS", 0.05)
    known = opened.id
    other = Journal(tmp_path)
    with pytest.raises(JournalUnwritable, match="locked"):
        other.find("x")
    opened.close()
    assert other.id == known
    other.close()


def test_another_process_is_waited_for_a_second(opened: Journal) -> None:
    with opened._use() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 1000


def test_a_closed_journal_stays_closed(opened: Journal) -> None:
    """Its path may be another's by now."""
    assert opened.id
    opened.close()
    refuses(opened)


def test_a_journal_that_was_closed_before_its_first_use_stays_closed(tmp_path: Path) -> None:
    unused = Journal(tmp_path)
    unused.close()
    refuses(unused)
    assert list(tmp_path.iterdir()) == []


FULL = """
    import pathlib, resource, sys
    from virshmanagerd.journal import Entry, Journal, JournalUnwritable
    opened = Journal(pathlib.Path(sys.argv[1]))
    def entry(number):
        return Entry(number, "f", "start", {}, {"xml": "x" * 4000}, {}, 0.0)
    opened.receive(entry("first"), at_once=False)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))
    refused = 0
    for number in range(100):
        try:
            opened.receive(entry(str(number)), at_once=number % 2 == 0)
        except JournalUnwritable:
            refused += 1
    assert refused > 50, refused
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    opened.start("first", {"id": 7})
    opened.receive(entry("last"), at_once=False)
    assert opened.find("first").remembered == {"id": 7}
    assert opened.find("last")
"""


def test_a_full_disk_is_said_and_got_over(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow."""
    script = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + textwrap.dedent(FULL)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=30)


@pytest.mark.parametrize("damage", ["text", "header", "middle"])
def test_a_damaged_file_is_moved_aside(
    opened: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    before = opened.id
    for _ in range(100):
        opened.receive(entry(), at_once=False)
    opened.close()
    path = tmp_path / journal.FILE
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"this is no database, but it is long enough to be one" * 100)
    elif damage == "header":
        content[100:200] = b"x" * 100
    else:
        content[4096:12288] = os.urandom(8192)
    path.write_bytes(content)
    fresh = Journal(tmp_path)
    assert fresh.open_entries() == []
    assert fresh.id != before
    fresh.close()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    (aside,) = tmp_path.glob("journal.sqlite.damaged-*")
    assert aside.read_bytes() == content
    assert aside.name in caplog.text


def test_a_damage_that_only_a_check_finds(
    opened: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite opens such a file, and would miss entries in it."""
    opened.receive(entry(), at_once=False)
    opened.close()
    with contextlib.closing(sqlite3.connect(tmp_path / journal.FILE, isolation_level=None)) as raw:
        raw.execute("PRAGMA writable_schema=ON")
        raw.execute("DELETE FROM sqlite_master WHERE name = 'open_operation'")
    fresh = Journal(tmp_path)
    assert fresh.open_entries() == []
    fresh.close()
    (aside,) = tmp_path.glob("journal.sqlite.damaged-*")
    assert aside.name in caplog.text
    assert "never used" in caplog.text  # a page of the file, in SQLite's words


@pytest.mark.parametrize(
    "damage",
    [
        "args = '{\"xml\": '",
        "args = CAST(X'ff' AS TEXT)",
        "remembered = 7",
        "deadline = 'soon'",
        "state = 'startee'",
    ],
)
def test_a_damage_that_only_reading_finds(opened: Journal, tmp_path: Path, damage: str) -> None:
    """What is open could not be gone on with, at no start, and nothing new would be taken."""
    known, begun = opened.id, entry()
    opened.receive(begun, at_once=False)
    opened.start(begun.id, {"id": 3})
    opened.close()
    with contextlib.closing(sqlite3.connect(tmp_path / journal.FILE)) as connection:
        connection.execute(f"UPDATE operation SET {damage}")  # noqa: S608 - ours
        connection.commit()
    healed = Journal(tmp_path)
    assert healed.open_entries() == []
    assert healed.id != known
    assert list(tmp_path.glob("journal.sqlite.damaged-*"))
    healed.close()


def test_it_is_private_and_on_the_disk(opened: Journal, tmp_path: Path) -> None:
    opened.receive(entry(), at_once=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"journal.sqlite": 0o600, "journal.sqlite-wal": 0o600}
    with opened._use() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL, again
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.parametrize(("at_once", "durability"), [(False, "FULL"), (True, "NORMAL")])
def test_what_waits_is_on_the_disk_and_what_begins_at_once_is_with_its_start(
    opened: Journal, *, at_once: bool, durability: str
) -> None:
    ran: list[str] = []
    with opened._use() as connection:
        connection.set_trace_callback(lambda line: ran.append(line.upper()))
    first = entry()
    opened.receive(first, at_once=at_once)
    opened.start(first.id, {})
    kept = [line.split("=")[1] if line.startswith("PRAGMA") else line.split()[0] for line in ran]
    assert kept == [durability, "INSERT", "FULL", "UPDATE"]


def test_any_thread_may_use_it(opened: Journal) -> None:
    first = entry()
    opened.receive(first, at_once=False)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(opened.find, first.id).result() == first
        other.submit(opened.close).result()


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    assert not Journal(tmp_path).exists()
    assert list(tmp_path.iterdir()) == []


def test_it_exists_as_soon_as_there_is_a_file(opened: Journal, tmp_path: Path) -> None:
    assert opened.id
    assert opened.exists()
    again = reopened(opened, tmp_path)
    assert again.exists()
    again.close()


def test_its_id_lasts_as_long_as_the_file(opened: Journal, tmp_path: Path) -> None:
    first = opened.id
    assert opened.id == first
    again = reopened(opened, tmp_path)
    assert again.id == first
    again.close()
    assert journal.remove(tmp_path)
    assert not journal.remove(tmp_path)
    fresh = Journal(tmp_path)
    assert fresh.id != first
    fresh.close()


def test_what_is_begun_survives(opened: Journal, tmp_path: Path) -> None:
    first, second = entry(), entry()
    opened.receive(first, at_once=True)
    opened.receive(second, at_once=False)
    opened.start(second.id, {"id": 3})
    opened.ask_cancel(second.id)
    again = reopened(opened, tmp_path)
    found = again.open_entries()
    second.state, second.remembered, second.cancel_asked = "started", {"id": 3}, True
    assert found == [first, second]
    assert again.find(second.id) == second
    assert again.find("x") is None
    again.close()


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    script = """
        import os, pathlib, signal, sys
        from virshmanagerd.journal import Entry, Journal
        opened = Journal(pathlib.Path(sys.argv[1]))
        opened.receive(Entry("a", "f", "start", {}, {}, {}, 0.0), at_once=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], check=False, timeout=30
    )
    assert run.returncode == -9
    opened = Journal(tmp_path)
    assert [found.id for found in opened.open_entries()] == ["a"]
    opened.close()


def test_an_id_is_received_once(opened: Journal) -> None:
    first = entry()
    opened.receive(first, at_once=True)
    with pytest.raises(JournalUnwritable):
        opened.receive(first, at_once=True)


def test_there_is_one_verdict(opened: Journal) -> None:
    first = entry()
    opened.receive(first, at_once=True)
    opened.finish(first.id, "done", {"domain": None}, None)
    opened.finish(first.id, "failed", {}, {"type": "wrong_state", "detail": ""})
    opened.start(first.id, {"id": 3})
    found = opened.find(first.id)
    assert found
    assert (found.state, found.result, found.problem, found.is_open) == (
        "done",
        {"domain": None},
        None,
        False,
    )
    assert (found.args, found.precondition, found.remembered) == ({}, {}, {})
    assert opened.open_entries() == []


def test_a_failure_keeps_its_problem(opened: Journal, tmp_path: Path) -> None:
    first, problem = entry(), {"type": "wrong_state", "detail": "it runs"}
    opened.receive(first, at_once=False)
    opened.finish(first.id, "failed", {}, problem)
    again = reopened(opened, tmp_path)
    found = again.find(first.id)
    assert found
    assert (found.state, found.problem, found.is_open) == ("failed", problem, False)
    again.close()


def test_a_deadline_counts_on_through_a_restart(opened: Journal, tmp_path: Path) -> None:
    opened.receive(entry(id="a", deadline=clock.now() + 60, received=clock.now() - 10), at_once=True)
    again = reopened(opened, tmp_path)
    found = again.find("a")
    assert found
    assert 50 < found.remaining < 60
    assert 10 <= clock.now() - found.received < 20
    assert not found.rebooted
    again.close()


def test_a_deadline_has_passed_after_a_reboot(
    opened: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.receive(entry(id="a", received_at=time.time() - 1000), at_once=True)
    monkeypatch.setattr(clock, "BOOT_ID", "another")
    again = reopened(opened, tmp_path)
    found = again.find("a")
    assert found
    assert found.remaining < 0
    assert found.rebooted
    assert 1000 <= clock.now() - found.received < 1010
    again.close()


def test_what_a_clock_ahead_received_before_a_reboot_was_received_now(
    opened: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the future, where it would never be late."""
    opened.receive(entry(id="a", received_at=time.time() + 1000), at_once=True)
    monkeypatch.setattr(clock, "BOOT_ID", "another")
    monkeypatch.setattr(clock, "now", lambda: 500.0)
    again = reopened(opened, tmp_path)
    found = again.find("a")
    assert found
    assert found.received == 500.0
    again.close()


def test_a_verdict_is_kept_for_a_week_and_until_it_is_stored(
    opened: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stored", "unstored", "open"):
        opened.receive(entry(id=name), at_once=True)
    opened.finish("stored", "done", {}, None)
    opened.finish("unstored", "done", {}, None)
    assert opened.acknowledge(["stored", "open", "nonsense"]) == 1
    now = time.time()

    def left(days: float) -> list[str]:
        monkeypatch.setattr(time, "time", lambda: now + days * 86400)
        opened.prune()
        return [name for name in ("stored", "unstored", "open") if opened.find(name)]

    assert left(6.9) == ["stored", "unstored", "open"]
    assert left(7.1) == ["unstored", "open"]
    opened.acknowledge(["unstored"])
    assert left(7.1) == ["open"]
