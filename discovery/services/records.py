"""Writing addresses: the rows of what answered."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

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


def fall(keys: Collection[int]) -> None:
    """Make these rows `other`. A host that is only offline keeps its last address; one that is elsewhere does not."""
    if not keys:
        return
    fallen = rows_with(keys)
    fallen.update(kind=Kind.OTHER, reason="")
    fallen.filter(host__isnull=False).exclude(host__address=F("ip")).update(host=None)
