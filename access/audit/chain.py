"""The chain: each row holds the hash of the one before it, so that no row is changed, lost or put in unseen.

Rows are written by many at once, inside their transactions. To chain them there would make all of these wait
for one another, each until the one before has reached the disk; and two that hold rows of hosts and domains,
too, would wait for each other for ever. So a row is written without a number, which costs an insert, and one
task a second gives to all that are committed their numbers and hashes, in a transaction of its own. It asks
for rows without a number, not for those after the last one: a row that is committed late is not missed.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from ..models import AuditEntry

FIRST: Final = "0" * 64
# SQLite lets nobody else write meanwhile.
AT_ONCE: Final = 200
READ_AT_ONCE: Final = 2000
# "audit" as a number: PostgreSQL's advisory locks have nothing else for a name.
LOCK: Final = 0x6175646974
# A row that waits for longer was written while no worker ran.
PROMPT: Final = timedelta(minutes=1)
HASHED: Final = (
    *("sequence", "at", "actor_id", "actor_name", "via", "via_name", "source", "action"),
    *("target_type", "target_id", "target_name", "result", "problem", "detail", "previous_hash"),
)


class Broken(NamedTuple):
    """Where the chain breaks first. `word` is `hash`, `link`, `gap` or `known`."""

    sequence: int
    word: str


class Report(NamedTuple):
    """What a check found: so many rows hang together, the last of which has this hash."""

    rows: int
    head: str
    waiting: int
    overdue: int
    broken: Broken | None


def hash_of(entry: AuditEntry) -> str:
    """SHA-256 over the row in one form: JSON with sorted names, no spaces, ASCII; times in UTC."""
    content = {name: getattr(entry, name) for name in HASHED}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_moment)
    return hashlib.sha256(text.encode()).hexdigest()


def _moment(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def chain_waiting() -> int:
    """Chain every row that is committed; return how many were."""
    chained = 0
    while AuditEntry.objects.waiting().exists():
        chained += _chain_some()
    return chained


def _chain_some() -> int:
    with transaction.atomic():
        if connection.vendor == "postgresql":  # SQLite's transactions that write are one after another
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        last = AuditEntry.objects.chained().last()
        sequence, head = (last.sequence or 0, last.hash) if last else (0, FIRST)
        waiting = list(AuditEntry.objects.waiting().order_by("pk")[:AT_ONCE])
        for place, entry in enumerate(waiting, start=sequence + 1):
            entry.sequence, entry.previous_hash = place, head
            head = entry.hash = hash_of(entry)
        AuditEntry.objects.bulk_update(waiting, ["sequence", "previous_hash", "hash"])
    return len(waiting)


def verify(known: tuple[int, str] | None = None) -> Report:
    """Follow the chain from its first row to its last, and stop where it breaks.

    `known` is a number and the hash that its row had once, kept elsewhere: only that tells of a chain which
    was cut at its end, or written anew as a whole.
    """
    sequence, head, broken = 0, FIRST, None
    for entry in AuditEntry.objects.chained().iterator(chunk_size=READ_AT_ONCE):
        word = _fault(entry, sequence + 1, head, known)
        if word:
            broken = Broken(sequence + 1 if word == "gap" else entry.sequence or 0, word)
            break
        sequence, head = sequence + 1, entry.hash
    if broken is None and known and known[0] > sequence:
        broken = Broken(sequence + 1, "gap")
    waiting = AuditEntry.objects.waiting()
    overdue = waiting.filter(at__lt=timezone.now() - PROMPT)
    return Report(sequence, head, waiting.count(), overdue.count(), broken)


def _fault(entry: AuditEntry, expected: int, head: str, known: tuple[int, str] | None) -> str:
    if entry.sequence != expected:
        return "gap"
    if entry.previous_hash != head:
        return "link"
    if entry.hash != hash_of(entry):
        return "hash"
    return "known" if known and known[0] == expected and known[1] != entry.hash else ""
