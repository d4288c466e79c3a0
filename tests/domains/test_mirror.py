"""What a listing writes, and what it does not."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from domains.models import Domain
from domains.services import count_domains, mirror
from hosts.signals import listing_received

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


def test_domains_of_many_hosts_are_counted(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    busy, empty = owned_host(), owned_host()
    mirror(busy, [facts(state="running"), facts(state="running"), facts()])
    with django_assert_num_queries(1):
        counts = count_domains([busy.pk, empty.pk])
    assert counts[busy.pk]["total"] == 3
    assert (counts[busy.pk]["running"], counts[busy.pk]["shutoff"]) == (2, 1)
    assert counts[empty.pk]["total"] == 0
