"""The chain: what is changed behind the server's back is found, and many writers leave no gap."""

import hashlib
import json
import threading
from datetime import UTC, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from access import audit
from access.audit.chain import hash_of
from access.choices import Action
from access.models import AuditEntry
from tests.append_only import TABLE, unguarded_audit
from tests.threads import meanwhile, together

pytestmark = pytest.mark.django_db


def rows(count: int) -> None:
    for number in range(count):
        audit.record(Action.HOST_DENY, audit.Target("host", number, f"host-{number}"), detail={"n": number})
    audit.chain_waiting()


def plant(statement: str) -> None:
    """Do what only the owner of the database can."""
    with unguarded_audit(), connection.cursor() as cursor:
        cursor.execute(statement)


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("audit", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "sequence", "word"),
    [
        ("SET actor_name = 'nobody' WHERE sequence = 3", 3, "hash"),
        ("SET detail = '{}' WHERE sequence = 1", 1, "hash"),
        ("SET at = '2020-01-01 00:00:00' WHERE sequence = 5", 5, "hash"),
        ("SET previous_hash = hash WHERE sequence = 2", 2, "link"),
        ("SET sequence = 9 WHERE sequence = 5", 5, "gap"),
    ],
)
def test_a_changed_row_is_named(change: str, sequence: int, word: str) -> None:
    rows(5)
    plant(f"UPDATE {TABLE} {change}")
    assert audit.verify().broken == audit.Broken(sequence, word)
    with pytest.raises(CommandError, match=rf"^Row {sequence}: .*\({word}\)") as ended:
        said("verify")
    assert ended.value.returncode == 1


@pytest.mark.parametrize("lost", [1, 3])
def test_a_row_that_is_gone_is_named(lost: int) -> None:
    rows(5)
    plant(f"DELETE FROM {TABLE} WHERE sequence = {lost}")
    assert audit.verify().broken == audit.Broken(lost, "gap")


def test_rows_that_were_swapped_are_named() -> None:
    rows(5)
    for old, new in ((2, 99), (3, 2), (99, 3)):
        plant(f"UPDATE {TABLE} SET sequence = {new} WHERE sequence = {old}")
    assert audit.verify().broken == audit.Broken(2, "link")


@pytest.mark.parametrize(("hashed", "sequence", "word"), [(False, 3, "hash"), (True, 4, "link")])
def test_a_row_that_was_put_in_is_named(*, hashed: bool, sequence: int, word: str) -> None:
    rows(5)
    before = AuditEntry.objects.get(sequence=2)
    for shift in ("+ 100 WHERE sequence > 2", "- 99 WHERE sequence > 100"):
        plant(f"UPDATE {TABLE} SET sequence = sequence {shift}")
    forged = audit.row(Action.HOST_APPROVE)
    forged.sequence, forged.previous_hash = 3, before.hash
    forged.hash = hash_of(forged) if hashed else "0" * 64
    with unguarded_audit():
        forged.save()
    assert audit.verify().broken == audit.Broken(sequence, word)


def test_a_row_that_was_changed_and_hashed_anew_breaks_the_next_one() -> None:
    rows(3)
    with unguarded_audit():
        changed = AuditEntry.objects.get(sequence=2)
        changed.actor_name = "nobody"
        changed.hash = hash_of(changed)
        changed.save()
    assert audit.verify().broken == audit.Broken(3, "link")


def test_a_chain_that_was_cut_short_or_written_anew_is_told_by_what_is_known_of_it() -> None:
    rows(5)
    head = audit.verify().head
    known = f"5:{head}"
    assert known in said("verify", "--known", known)
    plant(f"DELETE FROM {TABLE} WHERE sequence = 5")
    assert audit.verify().broken is None
    with pytest.raises(CommandError, match=r"^Row 5: it is not there"):
        said("verify", "--known", known)
    rows(1)
    with pytest.raises(CommandError, match=r"^Row 5: it is another than the known one"):
        said("verify", "--known", known)


@pytest.mark.parametrize("known", ["5", "5:x", f"0:{'0' * 64}", f":{'0' * 64}"])
def test_what_cannot_be_known_is_refused(known: str) -> None:
    with pytest.raises(CommandError, match="known"):
        said("verify", "--known", known)


def test_an_empty_audit_is_whole() -> None:
    assert audit.verify() == audit.Report(0, "0" * 64, 0, 0, None)
    assert said("verify") == "0 rows hang together.\n"


def test_rows_that_wait_for_their_place_are_told() -> None:
    rows(2)
    audit.record(Action.LOGIN)
    assert "1 new rows are not chained yet" in said("verify")
    assert "no worker runs" not in said("verify")
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        assert "1 of them wait for over a minute" in said("verify")


def test_a_row_is_hashed_as_the_documentation_says() -> None:
    audit.record(
        Action.HOST_DENY, audit.Target("host", 7, "h\u00f6st"), detail={"b": [1, True, None], "a": "\u20ac"}
    )
    audit.chain_waiting()
    found = AuditEntry.objects.get()
    names = (
        "sequence at actor_id actor_name via via_name source action target_type target_id target_name result"
        " problem detail previous_hash"
    )
    content = {name: getattr(found, name) for name in names.split()}
    content["at"] = found.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert found.hash == hashlib.sha256(text.encode()).hexdigest()
    assert (found.sequence, found.previous_hash) == (1, "0" * 64)


def test_a_deed_that_is_undone_leaves_no_row() -> None:
    with transaction.atomic():
        audit.record(Action.LOGIN)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


def test_more_rows_than_one_transaction_takes_are_chained() -> None:
    audit.record_all([audit.row(Action.LOGIN) for _ in range(450)])
    assert (audit.chain_waiting(), audit.chain_waiting()) == (450, 0)
    assert audit.verify().rows == 450


WRITERS, EACH = 4, 15


@pytest.mark.django_db(transaction=True)
def test_many_who_write_and_chain_at_once_leave_one_chain_without_a_gap() -> None:
    done = threading.Event()

    def write() -> None:
        for number in range(EACH):
            with transaction.atomic():
                audit.record(Action.LOGIN, audit.Target("user", number))

    def chain() -> None:
        while not done.is_set():
            audit.chain_waiting()

    with meanwhile(chain, chain):
        try:
            together(*[write] * WRITERS)
        finally:
            done.set()
    audit.chain_waiting()
    assert audit.verify()[0::2] == (WRITERS * EACH, 0, None)
    assert AuditEntry.objects.count() == WRITERS * EACH


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_committed_late_is_not_missed() -> None:
    """Its number in the table is lower than those of rows that are chained already."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite lets one transaction write at a time")
    written, may_commit = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            audit.record(Action.LOGOUT)
            written.set()
            may_commit.wait(30)

    with meanwhile(slow):
        assert written.wait(30)
        audit.record(Action.LOGIN)
        assert audit.chain_waiting() == 1
        may_commit.set()
    assert audit.chain_waiting() == 1
    assert [row.action for row in AuditEntry.objects.chained()] == ["login", "logout"]
    assert audit.verify().broken is None
