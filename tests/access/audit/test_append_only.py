"""The database itself refuses to change or to lose a row, whoever asks it."""

from importlib import import_module

import pytest
from django.db import DatabaseError, connection, transaction

from access import audit
from access.choices import Action
from access.models import AuditEntry
from tests.append_only import TABLE

pytestmark = pytest.mark.django_db

CHANGES = [
    f"DELETE FROM {TABLE}",
    f"UPDATE {TABLE} SET actor_name = 'nobody'",
    f"UPDATE {TABLE} SET detail = '{{}}', sequence = sequence + 1",
    f"UPDATE {TABLE} SET sequence = NULL",
    f"UPDATE {TABLE} SET sequence = sequence",
    f"UPDATE {TABLE} SET hash = 'x'",
]


def refused(statement: str) -> bool:
    """Whether the database refuses to do this, and says why."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as error:
        return "append-only" in str(error)
    return False


@pytest.fixture
def rows() -> list[AuditEntry]:
    audit.record(Action.HOST_DENY)
    audit.record(Action.HOST_RETIRE)
    return list(AuditEntry.objects.all())


@pytest.mark.parametrize("statement", CHANGES)
def test_a_chained_row_stays_as_it_is(rows: list[AuditEntry], statement: str) -> None:
    audit.chain_waiting()
    before = list(AuditEntry.objects.values())
    assert refused(statement)
    assert list(AuditEntry.objects.values()) == before


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM {TABLE}",
        f"UPDATE {TABLE} SET actor_name = 'nobody'",
        f"UPDATE {TABLE} SET sequence = id, action = 'login'",
    ],
)
def test_neither_does_one_change_that_waits_for_its_place(rows: list[AuditEntry], statement: str) -> None:
    assert refused(statement)
    assert [row.action for row in AuditEntry.objects.all()] == ["host.retire", "host.deny"]


COLUMNS = (
    "at, actor_name, via, via_name, source, action, target_type, target_id, target_name, result, problem,"
    " detail, previous_hash, hash"
)


def test_no_row_comes_with_a_place_in_the_chain(rows: list[AuditEntry]) -> None:
    assert refused(f"INSERT INTO {TABLE} ({COLUMNS}, sequence) SELECT {COLUMNS}, 7 FROM {TABLE} LIMIT 1")


def test_no_row_takes_the_place_of_another(rows: list[AuditEntry]) -> None:
    """SQLite's REPLACE deletes what is in its way, and fires no trigger of deletion."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has no REPLACE")
    audit.chain_waiting()
    copy = f"SELECT id, {COLUMNS} FROM {TABLE} LIMIT 1"
    assert refused(f"INSERT OR REPLACE INTO {TABLE} (id, {COLUMNS}) {copy}")
    audit.record(Action.LOGIN)
    assert refused(f"UPDATE OR REPLACE {TABLE} SET sequence = 1 WHERE sequence IS NULL")


def test_the_table_is_not_emptied_as_a_whole(rows: list[AuditEntry]) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    assert refused(f"TRUNCATE {TABLE} CASCADE")


def test_the_orm_is_refused_as_well(rows: list[AuditEntry]) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows[0].delete()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.update(result="ok")


@pytest.mark.django_db(transaction=True)
def test_the_migration_can_be_undone_and_done_again() -> None:
    """On an empty table: who undoes it loses the audit."""
    migration = import_module("access.migrations.0003_audit")
    with connection.schema_editor() as editor:
        migration.unguard(None, editor)
        migration.guard(None, editor)
    audit.record(Action.LOGIN)
    assert refused(f"DELETE FROM {TABLE}")
