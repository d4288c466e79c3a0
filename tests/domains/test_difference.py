"""The difference between the mirror and a report, tried on anything."""

import uuid

from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from domains.models import Domain
from domains.services.difference import FACTS, diff, differs, take
from hosts.payloads import DomainFacts

from .factories import facts

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


def row_of(report: DomainFacts, *, missing: bool = False) -> Domain:
    row = take(Domain(uuid=report["uuid"]), report)
    row.missing_since = timezone.now() if missing else None
    return row


rows = st.lists(st.builds(row_of, reports, missing=st.booleans()), unique_by=lambda row: row.uuid)


@given(rows, listings)
def test_every_domain_is_in_exactly_one_part(known: list[Domain], reported: list[DomainFacts]) -> None:
    difference = diff(known, reported)
    appeared = {report["uuid"] for report in difference.appeared}
    changed = {row.uuid for row, _ in difference.changed}
    vanished = {row.uuid for row in difference.vanished}
    known_ids, reported_ids = {row.uuid for row in known}, {report["uuid"] for report in reported}
    assert appeared == reported_ids - known_ids
    assert changed <= known_ids & reported_ids
    assert vanished == {row.uuid for row in known if row.missing_since is None} - reported_ids


@given(rows, listings)
def test_after_the_difference_is_applied_there_is_none(
    known: list[Domain], reported: list[DomainFacts]
) -> None:
    difference = diff(known, reported)
    gone = {row.uuid for row in difference.vanished}
    kept = [row for row in known if row.uuid not in gone]
    for row, report in difference.changed:
        take(row, report)
    assert not any(diff([*kept, *map(row_of, difference.appeared)], reported))


@given(listings)
def test_the_same_report_changes_nothing(reported: list[DomainFacts]) -> None:
    assert not any(diff(map(row_of, reported), reported))


@given(reports)
def test_every_fact_matters(report: DomainFacts) -> None:
    for field in FACTS:
        row = row_of(report)
        setattr(row, field, object())
        assert differs(row, report), field


def test_every_reported_field_has_its_place() -> None:
    assert {"id", "uuid"} | set(FACTS) - {"libvirt_id"} == set(DomainFacts.__annotations__)
