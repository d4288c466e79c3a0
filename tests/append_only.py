"""A pytest plugin: what was recorded; and between tests the audit is emptied, which others are refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.operations import BaseDatabaseOperations

TABLE = "access_auditentry"


def triggers_off() -> list[str]:
    """The statements after which rows of the audit can be changed, as by one who owns the database."""
    if connection.vendor == "postgresql":
        return [f"ALTER TABLE {TABLE} DISABLE TRIGGER USER"]
    return [f"DROP TRIGGER {TABLE}_{name}" for name in _sqlite()]


def triggers_on() -> list[str]:
    if connection.vendor == "postgresql":
        return [f"ALTER TABLE {TABLE} ENABLE TRIGGER USER"]
    return list(_sqlite().values())


def _sqlite() -> dict[str, str]:
    found: dict[str, str] = import_module("access.migrations.0003_audit").SQLITE
    return found


@contextmanager
def unguarded_audit() -> Iterator[None]:
    """Within this rows of the audit can be changed."""
    with connection.cursor() as cursor:
        for statement in triggers_off():
            cursor.execute(statement)
        yield
        for statement in triggers_on():
            cursor.execute(statement)


@pytest.fixture(scope="session", autouse=True)
def flushing_empties_the_audit() -> Iterator[None]:
    flush = BaseDatabaseOperations.execute_sql_flush

    def flush_all(operations: Any, statements: list[str]) -> None:
        flush(operations, [*triggers_off(), *statements, *triggers_on()])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush_all)
        yield


@pytest.fixture
def recorded(db: None) -> Callable[[], list[tuple[str, str, str]]]:
    """What was recorded since it was asked last: actions, names of targets, problems or else results."""
    from access.models import AuditEntry  # plugins are loaded before Django is set up

    seen = 0

    def news() -> list[tuple[str, str, str]]:
        nonlocal seen
        found = list(AuditEntry.objects.filter(pk__gt=seen).order_by("pk"))
        seen = found[-1].pk if found else seen
        return [(entry.action, entry.target_name, entry.problem or entry.result) for entry in found]

    return news
