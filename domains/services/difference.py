"""What a listing changes in the mirror: pure, so that it can be tried on anything."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from hosts.payloads import DomainFacts

from ..models import Domain

# The field of the mirror, and how a report tells it.
FACTS: Final[Mapping[str, Callable[[DomainFacts], Any]]] = {
    "name": lambda facts: facts["name"],
    "libvirt_id": lambda facts: facts["id"],
    "state": lambda facts: facts["state"],
    "reason": lambda facts: facts["reason"],
    "vcpus": lambda facts: facts["vcpus"],
    "memory": lambda facts: facts["memory"],
    "max_memory": lambda facts: facts["max_memory"],
    "persistent": lambda facts: facts["persistent"],
    "autostart": lambda facts: facts["autostart"],
    "has_managed_save": lambda facts: facts["has_managed_save"],
    "title": lambda facts: facts["title"],
    "description": lambda facts: facts["description"],
    "tags": lambda facts: facts["tags"],
}


class Difference(NamedTuple):
    """`appeared`: reports of unknown domains. `changed`: known rows, missing ones that came back among them,
    with the report that differs. `vanished`: rows that were present and are not reported."""

    appeared: list[DomainFacts]
    changed: list[tuple[Domain, DomainFacts]]
    vanished: list[Domain]


def diff(known: Iterable[Domain], reported: Iterable[DomainFacts]) -> Difference:
    """Compare the rows of one host with what it reports. Of a UUID reported twice the last report counts."""
    rows: dict[UUID, Domain] = {domain.uuid: domain for domain in known}
    reports: dict[UUID, DomainFacts] = {facts["uuid"]: facts for facts in reported}
    return Difference(
        appeared=[facts for uuid, facts in reports.items() if uuid not in rows],
        changed=[
            (row, reports[uuid])
            for uuid, row in rows.items()
            if uuid in reports and differs(row, reports[uuid])
        ],
        vanished=[row for uuid, row in rows.items() if uuid not in reports and row.missing_since is None],
    )


def differs(row: Domain, facts: DomainFacts) -> bool:
    return row.missing_since is not None or any(
        getattr(row, field) != tell(facts) for field, tell in FACTS.items()
    )


def take(row: Domain, facts: DomainFacts) -> Domain:
    """Write the report into `row`, which is present again."""
    for field, tell in FACTS.items():
        setattr(row, field, tell(facts))
    row.missing_since = None
    return row
