"""What a listing writes, and what it does not."""

import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from domains.models import Domain
from domains.services import Report, count_domains, mirror, report
from hosts import live
from hosts.payloads import DomainFacts, host_facts
from hosts.services import note_libvirt_down, refreshing
from hosts.signals import domain_gone, domain_reported, listing_received
from tests.hosts.factories import told_host

from .factories import facts, owned_host

pytestmark = pytest.mark.django_db


def test_a_listing_that_changes_nothing_writes_nothing() -> None:
    host = owned_host()
    listing = [facts() for _ in range(500)]
    mirror(host, listing)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        mirror(host, listing)
    written = [
        q["sql"] for q in queries if not q["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE", "BEGIN"))
    ]
    assert not written
    assert len(queries) <= 4


def test_a_large_difference_takes_few_statements() -> None:
    host = owned_host()
    mirror(host, [facts() for _ in range(500)])
    changed = [
        facts(uuid=row.uuid, name=row.name, state="running") for row in Domain.objects.filter(host=host)
    ]
    with CaptureQueriesContext(connection) as queries:
        mirror(host, changed)
    assert len(queries) < 50
    assert set(Domain.objects.values_list("state", flat=True)) == {"running"}


def test_a_persistent_domain_that_vanishes_is_marked_and_comes_back() -> None:
    host = owned_host()
    report = facts(state="running", persistent=True)
    mirror(host, [report])
    mirror(host, [])
    row = Domain.objects.with_stale().get()
    assert row.missing_since is not None
    assert (row.stale, row.state) == (True, "running")
    mirror(host, [report])
    row = Domain.objects.with_stale().get()
    assert (row.missing_since, row.stale) == (None, False)


def test_without_libvirt_nobody_tells_how_the_domains_are() -> None:
    host = owned_host(libvirt_alive=True)
    mirror(host, [facts(state="running")])
    assert (Domain.objects.with_stale().get().stale, Domain.objects.count_untold()["stale"]) == (False, 0)
    note_libvirt_down(host.pk, "connection reset")
    assert (Domain.objects.with_stale().get().stale, Domain.objects.count_untold()["stale"]) == (True, 1)


def test_a_transient_domain_that_ends_disappears() -> None:
    host = owned_host()
    mirror(host, [facts(persistent=False)])
    mirror(host, [])
    assert not Domain.objects.exists()


def test_one_uuid_may_live_on_two_hosts() -> None:
    here, there, report = owned_host(), owned_host(), facts()
    mirror(here, [report])
    mirror(there, [report])
    mirror(here, [])
    assert Domain.objects.present().get().host == there


def test_hosts_speak_of_their_own_domains_only() -> None:
    here, there = owned_host(), owned_host()
    mirror(here, [facts()])
    mirror(there, [])
    assert Domain.objects.present().count() == 1


def test_the_mirror_hears_of_listings() -> None:
    host, report = owned_host(), facts(name="web", id=3, state="running", tags=["prod"])
    listing_received.send(sender=None, host=host, domains=[report])
    row = Domain.objects.get()
    assert (row.name, row.libvirt_id, row.state, row.tags) == ("web", 3, "running", ["prod"])


def test_a_listing_that_was_asked_for_before_does_not_undo_what_is_newer() -> None:
    host = owned_host()
    old = facts(state="shutoff")
    mirror(host, [old])
    asked_at = timezone.now()
    new = old | {"state": "running"}
    report([Report(host.pk, [new])])
    for listing in ([old], []):
        mirror(host, listing, as_of=asked_at)
        assert (Domain.objects.get().state, Domain.objects.get().missing_since) == ("running", None)
    mirror(host, [old], as_of=timezone.now())
    assert Domain.objects.get().state == "shutoff"


def test_what_the_stream_told_to_be_gone_does_not_come_back_by_an_older_answer() -> None:
    host, told = owned_host(watched_at=timezone.now()), facts()
    mirror(host, [told])
    asked = refreshing.Report(host_facts(told_host(host.uuid)), [told])
    report([Report(host.pk, [], {told["uuid"]})])
    refreshing.store(host, asked)
    assert not Domain.objects.exists()
    refreshing.store(host, asked, generation=host.watch_generation)
    assert Domain.objects.exists()


def test_a_domain_that_went_while_its_host_was_away_was_last_seen_before() -> None:
    host, told = owned_host(), facts()
    mirror(host, [told])
    yesterday = timezone.now() - timedelta(days=1)
    Domain.objects.update(first_seen=yesterday, last_seen=yesterday - timedelta(days=1))
    asked_at = timezone.now()
    mirror(host, [], listed_before=yesterday)
    row = Domain.objects.get()
    assert row.last_seen == yesterday
    assert row.missing_since is not None
    mirror(host, [told], as_of=asked_at)
    row.refresh_from_db()
    assert row.missing_since is not None


def test_the_mirror_hears_when_a_host_was_listed_before() -> None:
    yesterday = timezone.now() - timedelta(days=1)
    host = owned_host(listed_at=yesterday)
    mirror(host, [facts()])
    Domain.objects.update(last_seen=yesterday - timedelta(days=1))
    refreshing.store(host, refreshing.Report(host_facts(told_host(host.uuid)), []))
    assert Domain.objects.get().last_seen == yesterday


def test_after_a_clock_was_set_back_listings_count_all_the_same() -> None:
    host = owned_host()
    old = facts(state="shutoff")
    mirror(host, [old])
    Domain.objects.update(last_seen=timezone.now() + timedelta(hours=1))
    mirror(host, [old | {"state": "running"}], as_of=timezone.now())
    assert Domain.objects.get().state == "running"


def test_a_host_that_tells_of_ever_new_domains_fills_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[mirror.__module__], "MOST_ROWS", 3)
    liar, honest = owned_host(), owned_host()
    kept = facts()
    mirror(liar, [kept, facts()])
    mirror(liar, [kept, facts(), facts()])
    report([Report(liar.pk, [facts(), kept | {"state": "running"}]), Report(honest.pk, [facts()])])
    assert [Domain.objects.filter(host=host).count() for host in (liar, honest)] == [3, 1]
    # Of those that are known it goes on to tell.
    assert Domain.objects.get(uuid=kept["uuid"]).state == "running"


def test_what_a_report_does_not_name_stays() -> None:
    host, other = owned_host(), owned_host()
    first, second = facts(), facts()
    mirror(host, [first, second])
    mirror(other, [first])
    report([Report(host.pk, [first | {"state": "running"}])])
    assert sorted(Domain.objects.values_list("host", "state")) == [
        (host.pk, "running"),
        (host.pk, "shutoff"),
        (other.pk, "shutoff"),
    ]


def test_a_domain_whose_host_says_that_it_is_gone_leaves_no_row() -> None:
    host, told = owned_host(), facts(persistent=True)
    mirror(host, [told])
    report([Report(host.pk, [], {told["uuid"], uuid4()})])
    assert not Domain.objects.exists()


def test_the_mirror_hears_of_single_domains() -> None:
    host, told = owned_host(), facts()
    domain_reported.send(sender=None, host_id=host.pk, domains=[told])
    assert Domain.objects.get().uuid == told["uuid"]
    domain_gone.send(sender=None, host_id=host.pk, uuids=[told["uuid"]])
    assert not Domain.objects.exists()


def test_reports_of_many_hosts_cost_a_fixed_number_of_queries(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    hosts = [owned_host() for _ in range(20)]
    for host in hosts:
        mirror(host, [facts() for _ in range(3)])
    rows = [_reported(row, state="running") for row in Domain.objects.all()]
    with django_assert_max_num_queries(12):
        report(
            [Report(host.pk, [told for owner, told in rows if owner == host.pk], {uuid4()}) for host in hosts]
        )
    assert Domain.objects.filter(state="running").count() == 60


def _reported(row: Domain, **changed: Any) -> tuple[int, DomainFacts]:
    return row.host_id, facts(uuid=row.uuid, name=row.name, **changed)


def test_pages_hear_of_rows_and_of_a_whole_list_when_many_change(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    told: list[live.News] = []
    monkeypatch.setattr(live, "_send", told.extend)
    host = owned_host()
    mirror(host, [facts() for _ in range(51)])

    def heard(state: str, count: int) -> list[live.News]:
        told.clear()
        rows = [_reported(row, state=state)[1] for row in Domain.objects.order_by("pk")[:count]]
        with django_capture_on_commit_callbacks(execute=True):
            report([Report(host.pk, rows)])
        return told

    first = Domain.objects.order_by("pk").values_list("pk", flat=True)[0]
    everybody = ("fleet", f"host.{host.pk}")
    assert heard("running", 1) == [live.News("domain.changed", first, (*everybody, f"domain.{first}"))]
    whole, *rows = heard("paused", 51)
    assert whole == live.News("domains.changed", host.pk, everybody)
    assert {news.groups for news in rows} == {(f"domain.{news.id}",) for news in rows}


def test_domains_of_many_hosts_are_counted(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    busy, empty = owned_host(), owned_host()
    mirror(busy, [facts(state="running"), facts(state="running"), facts()])
    with django_assert_num_queries(1):
        counts = count_domains([busy.pk, empty.pk])
    assert counts[busy.pk]["total"] == 3
    assert (counts[busy.pk]["running"], counts[busy.pk]["shutoff"]) == (2, 1)
    assert counts[empty.pk]["total"] == 0
