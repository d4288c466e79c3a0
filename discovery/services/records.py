"""Writing addresses: the rows of what answered."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import F, QuerySet

from ..choices import Kind
from ..models import Address
from ..networks import IP, pack


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address turned out to be; `reason` is the stable word for why."""

    kind: Kind
    reason: str = ""
    host_id: int | None = None


@dataclass
class Changes:
    """How many addresses are new, gone, and of another kind than before."""

    appeared: int = 0
    vanished: int = 0
    changed: int = 0


def row_of(range_id: int, ip: IP, answer: Answer, now: datetime) -> Address:
    return Address(
        range_id=range_id,
        ip=str(ip),
        packed=pack(ip),
        kind=answer.kind,
        reason=answer.reason,
        host_id=answer.host_id,
        first_seen=now,
        last_seen=now,
    )


def insert_others(range_id: int, ips: Iterable[IP], now: datetime) -> None:
    """Store addresses that are known to be up, and nothing else; whoever stored one of them first has it.

    Plain SQL: a dense /16 is 65,536 rows, and making them by models takes as long as nmap takes to find them.
    """
    table = connection.ops.quote_name(Address._meta.db_table)
    seen = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} (range_id, ip, packed, kind, reason, silent_crawls, first_seen, last_seen) "  # noqa: S608
            f"VALUES (%s, %s, %s, '{Kind.OTHER}', '', 0, %s, %s) ON CONFLICT (ip) DO NOTHING",
            [(range_id, str(ip), pack(ip), seen, seen) for ip in ips],
        )


def upsert(rows: Iterable[Address]) -> None:
    """Store rows, new or known. They keep when they were first seen."""
    Address.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["ip"],
        update_fields=["range", "kind", "reason", "host", "last_seen", "silent_crawls"],
    )


def rows_with(keys: Collection[int]) -> QuerySet[Address]:
    return Address.objects.filter(pk__in=keys)


def fall(keys: Collection[int], changes: Changes) -> None:
    """Make these rows `other`. They keep a host that was last seen there, and lose one that is elsewhere."""
    if not keys:
        return
    changes.changed += len(keys)
    fallen = rows_with(keys)
    fallen.update(kind=Kind.OTHER, reason="")
    fallen.filter(host__isnull=False).exclude(host__address=F("ip")).update(host=None)
