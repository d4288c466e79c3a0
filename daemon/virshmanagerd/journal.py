"""The journal of operations: what was begun here is known after any crash, and never runs twice.

One SQLite file in the state directory. What is ``started`` is on the disk before libvirt is touched
(``synchronous=FULL``). Its random id is stored in it, so that another file is another journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from virshmanagerd import clock, files

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

FILE: Final = "journal.sqlite"
COMPANIONS: Final = ("", "-wal", "-journal")
KEPT_SECONDS: Final = 7 * 86400
LOCK_SECONDS: Final = 1.0

RECEIVED: Final = "received"
STARTED: Final = "started"
DONE: Final = "done"
FAILED: Final = "failed"
EXPIRED: Final = "expired"
CANCELLED: Final = "cancelled"
UNKNOWN: Final = "unknown"
OPEN: Final = (RECEIVED, STARTED)

Json = Mapping[str, Any]

SCHEMA: Final = """
BEGIN;
CREATE TABLE journal (id TEXT NOT NULL);
CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    verb TEXT NOT NULL,
    target TEXT NOT NULL,
    args TEXT NOT NULL,
    precondition TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    received REAL NOT NULL,
    received_at REAL NOT NULL,
    deadline REAL NOT NULL,
    state TEXT NOT NULL,
    remembered TEXT NOT NULL,
    cancel_asked INTEGER NOT NULL,
    result TEXT NOT NULL,
    problem TEXT NOT NULL,
    ended_at REAL,
    acknowledged INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX open_operation ON operation (ended_at) WHERE ended_at IS NULL;
COMMIT;
"""


class JournalUnwritable(Exception):
    """The journal cannot be opened, read or written now. Its text is one line for a person."""


@dataclass
class Entry:
    """One operation as the journal has it.

    ``received`` and ``deadline`` are moments of this boot's ``clock``; ``received_at`` and ``ended_at`` are
    Unix times. ``rebooted``: another boot of the machine received it. What was asked (``args`` and
    ``precondition``) is forgotten at the verdict; the fingerprint stays.
    """

    id: str
    fingerprint: str
    verb: str
    target: Json
    args: Json
    precondition: Json
    deadline: float
    received: float = field(default_factory=clock.now)
    received_at: float = field(default_factory=time.time)
    state: str = RECEIVED
    remembered: Json = field(default_factory=dict)
    cancel_asked: bool = False
    result: Json = field(default_factory=dict)
    problem: Json | None = None
    ended_at: float | None = None
    rebooted: bool = False

    @property
    def is_open(self) -> bool:
        """Whether it has no verdict yet."""
        return self.state in OPEN

    @property
    def remaining(self) -> float:
        """Seconds until its deadline; negative after it."""
        return self.deadline - clock.now()


JSON_COLUMNS: Final = ("target", "args", "precondition", "remembered", "result", "problem")
COLUMNS: Final = tuple(f.name for f in dataclasses.fields(Entry) if f.name != "rebooted")


class Journal:
    """Entries on the disk: opened at their first use, safe for threads.

    Every method but `exists` and `close` may raise JournalUnwritable.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._id = ""
        self._closed = False

    def exists(self) -> bool:
        """Whether there is a file. Asks the disk only, and raises nothing."""
        return self._connection is not None or self._path.exists()

    @property
    def id(self) -> str:
        """The random name of this file."""
        if not self._id:
            with self._use():
                pass
        return self._id

    def close(self) -> None:
        """Close the file for good: another journal may be at its place by now."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def find(self, operation_id: str) -> Entry | None:
        """The entry of an operation."""
        with self._use() as connection:
            row = connection.execute("SELECT * FROM operation WHERE id = ?", (operation_id,)).fetchone()
        return None if row is None else _entry(row)

    def open_entries(self) -> list[Entry]:
        """All entries without a verdict, the oldest first."""
        with self._use() as connection:
            return _open_entries(connection)

    def receive(self, entry: Entry, *, at_once: bool) -> None:
        """Add an entry.

        What begins ``at_once`` reaches the disk together with its ``start``. A power cut in between loses
        it, and nothing else: libvirt was not touched, and the server sends again what is not known here.
        """
        values = {name: getattr(entry, name) for name in COLUMNS}
        values |= {name: json.dumps(values[name]) for name in JSON_COLUMNS}
        values["boot_id"] = clock.BOOT_ID
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        with self._use() as connection:
            connection.execute(f"PRAGMA synchronous={'NORMAL' if at_once else 'FULL'}")
            try:
                connection.execute(
                    f"INSERT INTO operation ({names}) VALUES ({places})",  # noqa: S608 - names of ours
                    values,
                )
            finally:
                connection.execute("PRAGMA synchronous=FULL")

    def start(self, operation_id: str, remembered: Json) -> None:
        """Write that libvirt will be called now, with what must be known to judge later."""
        self._update("state = ?, remembered = ?", (STARTED, json.dumps(remembered)), operation_id)

    def ask_cancel(self, operation_id: str) -> None:
        """Write that somebody wants it to end."""
        self._update("cancel_asked = 1", (), operation_id)

    def finish(self, operation_id: str, state: str, result: Json, problem: Json | None) -> None:
        """Write the verdict. There is one: a second is ignored."""
        self._update(
            "state = ?, result = ?, problem = ?, ended_at = ?, args = '{}', precondition = '{}'",
            (state, json.dumps(result), json.dumps(problem), time.time()),
            operation_id,
        )

    def acknowledge(self, operation_ids: Sequence[str]) -> int:
        """Write that the server has stored these verdicts; how many there are."""
        with self._use() as connection, _transaction(connection):
            return sum(
                connection.execute(
                    "UPDATE operation SET acknowledged = 1 WHERE id = ? AND ended_at IS NOT NULL", (name,)
                ).rowcount
                for name in operation_ids
            )

    def prune(self) -> None:
        """Forget what was acknowledged, and ended seven days ago or earlier."""
        with self._use() as connection:
            connection.execute(
                "DELETE FROM operation WHERE acknowledged AND ended_at < ?", (time.time() - KEPT_SECONDS,)
            )

    def _update(self, change: str, values: tuple[object, ...], operation_id: str) -> None:
        with self._use() as connection:
            connection.execute(
                f"UPDATE operation SET {change} WHERE id = ? AND ended_at IS NULL",  # noqa: S608 - ours
                (*values, operation_id),
            )

    @contextlib.contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise JournalUnwritable("the journal is closed")
            try:
                yield self._connection or self._open()
            except (sqlite3.Error, OSError) as error:
                raise JournalUnwritable(f"the journal cannot be used: {error}") from error

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise  # a full disk, no right to write, another process: the file may be whole
        except sqlite3.DatabaseError as error:
            self._move_aside(error)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._id = _prepare(connection)
            files.sync_directory(self._path.parent)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _move_aside(self, error: sqlite3.Error) -> None:
        """Keep a damaged file for a person to look at; the server is told by the new journal's id."""
        aside = f"{FILE}.damaged-{time.time_ns()}"
        logger.error("the journal is damaged (%s): it is %s now, and a new one begins", error, aside)
        for ending in COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(FILE + ending).rename(self._path.with_name(aside + ending))


def remove(directory: Path) -> bool:
    """Remove the journal of a state directory for good; say whether there was one."""
    removed = [files.remove(directory / (FILE + ending)) for ending in reversed(COMPANIONS)]
    return any(removed)


def _prepare(connection: sqlite3.Connection) -> str:
    """Make the file what we need, and return its id. One process has it: no other runs what is open here."""
    connection.row_factory = sqlite3.Row
    connection.text_factory = bytes.decode  # SQLite's own takes damage for one of the errors that pass
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.executescript(SCHEMA)
    with _transaction(connection):
        connection.execute(
            "INSERT INTO journal SELECT ? WHERE NOT EXISTS (SELECT * FROM journal)", (str(uuid.uuid4()),)
        )
    try:
        whole = all(map(_is_whole, _open_entries(connection)))
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"an entry cannot be read: {error}") from None
    if not whole:
        raise sqlite3.DatabaseError("an entry is not what was written")
    return str(connection.execute("SELECT id FROM journal").fetchone()[0])


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open_entries(connection: sqlite3.Connection) -> list[Entry]:
    rows = connection.execute("SELECT * FROM operation WHERE ended_at IS NULL ORDER BY rowid").fetchall()
    return [_entry(row) for row in rows]


def _is_whole(entry: Entry) -> bool:
    """Whether it can be gone on with: SQLite's check does not look into what is in its cells."""
    objects = (entry.target, entry.args, entry.precondition, entry.remembered)
    numbers = (entry.deadline, entry.received, entry.received_at)
    return (
        entry.is_open
        and all(isinstance(one, dict) for one in objects)
        and all(isinstance(one, float) for one in numbers)
    )


def _entry(row: sqlite3.Row) -> Entry:
    """The entry of a row. After a reboot its deadline has passed, whenever it was."""
    values = {name: row[name] for name in COLUMNS}
    values |= {name: json.loads(row[name]) for name in JSON_COLUMNS}
    entry = Entry(**values)
    entry.cancel_asked = bool(entry.cancel_asked)
    if row["boot_id"] != clock.BOOT_ID:
        entry.rebooted = True
        entry.received = clock.now() - max(0.0, time.time() - entry.received_at)
        entry.deadline = float("-inf")
    return entry
