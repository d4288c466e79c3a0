"""The difference between the mirror and a report, tried on anything."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from domains.models import Domain
from domains.services.difference import FACTS, Known, diff, fields_of
from hosts.payloads import DomainFacts

from .factories import facts

Rows = dict[uuid.UUID, Known]
UUIDS = [uuid.UUID(int=number) for number in range(6)]

reports = st.builds(
    facts,
    uuid=st.sampled_from(UUIDS),
    name=st.sampled_from(["web", "db"]),
    state=st.sampled_from(["running", "shutoff"]),
    memory=st.integers(0, 2),
    persistent=st.booleans(),
    tags=st.lists(st.sampled_from(["a", "b"]), max_size=2),
)
listings = st.lists(reports, unique_by=lambda report: report["uuid"])


known_rows = st.builds(
    lambda listed, missing: {
        report["uuid"]: row_of(report, number, missing=number in missing)
        for number, report in enumerate(listed)
    },
    listings,
    st.sets(st.integers(0, 5)),
)


def row_of(report: DomainFacts, pk: int = 0, *, missing: bool = False) -> Known:
    return Known(pk, missing, tuple(fields_of(report).values()))


@given(known_rows, listings)
def test_every_domain_is_in_exactly_one_part(known: Rows, reported: list[DomainFacts]) -> None:
    difference = diff(known, reported)
    by_key = {row.pk: uuid for uuid, row in known.items()}
    appeared = {report["uuid"] for report in difference.appeared}
    changed = {by_key[pk] for pk, _ in difference.changed}
    vanished = {by_key[pk] for pk in difference.vanished}
    reported_ids = {report["uuid"] for report in reported}
    assert appeared == reported_ids - known.keys()
    assert changed <= known.keys() & reported_ids
    assert all(by_key[pk] == report["uuid"] for pk, report in difference.changed)
    assert vanished == {uuid for uuid, row in known.items() if not row.missing} - reported_ids


@given(known_rows, listings)
def test_after_the_difference_is_applied_there_is_none(known: Rows, reported: list[DomainFacts]) -> None:
    difference = diff(known, reported)
    kept = {uuid: row for uuid, row in known.items() if row.pk not in difference.vanished}
    changed = {report["uuid"]: row_of(report, pk) for pk, report in difference.changed}
    appeared = {report["uuid"]: row_of(report) for report in difference.appeared}
    assert not any(diff(kept | changed | appeared, reported))


@given(listings)
def test_the_same_report_changes_nothing(reported: list[DomainFacts]) -> None:
    assert not any(diff({report["uuid"]: row_of(report) for report in reported}, reported))


@given(reports)
def test_every_fact_matters(report: DomainFacts) -> None:
    for place, field in enumerate(FACTS):
        row = row_of(report)
        facts = (*row.facts[:place], object(), *row.facts[place + 1 :])
        assert diff({report["uuid"]: row._replace(facts=facts)}, [report]).changed, field


def test_every_reported_field_has_its_place() -> None:
    assert {"uuid", *FACTS.values()} == set(DomainFacts.__annotations__)
    assert {field.name for field in Domain._meta.fields} >= FACTS.keys()
