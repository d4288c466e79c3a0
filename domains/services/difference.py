"""What a report changes in the mirror: pure, so that it can be tried on anything."""

from collections.abc import Collection, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

from hosts.payloads import DomainFacts

# The field of the mirror, and what a report calls it.
FACTS: Final[Mapping[str, str]] = {
    "name": "name",
    "libvirt_id": "id",
    "state": "state",
    "reason": "reason",
    "vcpus": "vcpus",
    "memory": "memory",
    "max_memory": "max_memory",
    "persistent": "persistent",
    "autostart": "autostart",
    "has_managed_save": "has_managed_save",
    "title": "title",
    "description": "description",
    "tags": "tags",
}
_told = itemgetter(*FACTS.values())


class Known(NamedTuple):
    """A row of the mirror. `facts` are in the order of FACTS."""

    pk: int
    missing: bool
    facts: tuple[Any, ...]


class Difference(NamedTuple):
    """`appeared`: reports of unknown domains. `changed`: known rows, missing ones that came back among
    them, with the report that differs. `vanished`: present rows that are not reported. `removed`: rows of
    domains that the host said to be gone. Rows by key."""

    appeared: list[DomainFacts]
    changed: list[tuple[int, DomainFacts]]
    vanished: list[int]
    removed: list[int]


def diff(known: Mapping[UUID, Known], reported: Iterable[DomainFacts]) -> Difference:
    """Compare the rows of one host with what it reports. Of a UUID reported twice the last report counts."""
    reports: dict[UUID, DomainFacts] = {facts["uuid"]: facts for facts in reported}
    return Difference(
        appeared=[facts for uuid, facts in reports.items() if uuid not in known],
        changed=[
            (row.pk, reports[uuid])
            for uuid, row in known.items()
            if uuid in reports and (row.missing or row.facts != _told(reports[uuid]))
        ],
        vanished=[row.pk for uuid, row in known.items() if uuid not in reports and not row.missing],
        removed=[],
    )


def diff_of_some(
    known: Mapping[UUID, Known], reported: Iterable[DomainFacts], gone: Collection[UUID]
) -> Difference:
    """As `diff`, when a host reports some of its domains and says of others that they are gone."""
    reports = [facts for facts in reported if facts["uuid"] not in gone]
    named = {facts["uuid"] for facts in reports}
    some = {uuid: row for uuid, row in known.items() if uuid in named}
    removed = [row.pk for uuid, row in known.items() if uuid in gone]
    return diff(some, reports)._replace(removed=removed)


def fields_of(facts: DomainFacts) -> dict[str, Any]:
    """Return a report by the names of the mirror's fields."""
    return dict(zip(FACTS, _told(facts), strict=True))
