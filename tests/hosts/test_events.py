"""Who hears of a change, and that nobody hears when nothing changed that a person sees."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from hosts import live, services
from hosts.choices import Trust
from hosts.errors import HostBusy, TimedOut
from hosts.models import Host
from hosts.payloads import host_facts
from hosts.services import refreshing
from hosts.services.refreshing import Report
from hosts.signals import listing_received

from .factories import a_host, told_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]
Told = list[tuple[str, int, tuple[str, ...]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    events: Told = []
    monkeypatch.setattr(live, "_send", events.extend)
    return events


def report(host: Host, **more: Any) -> Report:
    return Report(host_facts(told_host(host.uuid, **more)), [])


def test_a_host_that_was_retired_meanwhile_is_not_touched(told: Told) -> None:
    host = a_host()
    Host.objects.update(trust=Trust.RETIRED)
    refreshing.store(host, report(host))
    assert Host.objects.get().last_seen is None


def test_a_probe_does_not_hide_that_the_events_are_bad_and_a_watcher_does() -> None:
    host = a_host(problem="bad_events", reason="It told nonsense.")
    refreshing.store(host, report(host))
    assert Host.objects.get().problem == "bad_events"
    refreshing.store(host, report(host), generation=host.watch_generation + 1)
    assert Host.objects.get().problem == "bad_events"
    refreshing.store(host, report(host), generation=host.watch_generation)
    assert Host.objects.get().problem == ""


def test_host_and_listing_are_stored_together_or_not_at_all() -> None:
    host = a_host()

    def fail(**_: object) -> None:
        raise KeyError

    listing_received.connect(fail)
    try:
        with pytest.raises(KeyError):
            refreshing.store(host, report(host))
    finally:
        listing_received.disconnect(fail)
    assert Host.objects.get().last_seen is None


def test_only_what_a_person_sees_is_published(
    told: Told, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    host = a_host()

    def heard(**more: Any) -> Told:
        told.clear()
        with django_capture_on_commit_callbacks(execute=True):
            refreshing.store(Host.objects.get(), report(host, **more))
        return list(told)

    everybody, page = ("fleet", f"host.{host.pk}"), (f"host.{host.pk}",)
    assert heard() == [("host.changed", host.pk, everybody)]
    assert heard() == []
    assert heard(load=[9, 9, 9]) == [("host.changed", host.pk, page)]
    assert heard(load=[9, 9, 9], hostname="hv-02") == [("host.changed", host.pk, everybody)]
    Host.objects.update(last_seen=timezone.now() - timedelta(minutes=1))
    assert heard(load=[9, 9, 9], hostname="hv-02") == [("host.changed", host.pk, everybody)]


def test_a_miss_is_counted_and_the_second_one_published(
    told: Told, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    host = a_host(problem="timed_out", reason=TimedOut().reason, last_seen=timezone.now())
    for expected in (0, 1, 0):
        told.clear()
        with django_capture_on_commit_callbacks(execute=True):
            refreshing.miss(host, TimedOut())
        assert len(told) == expected
    host.refresh_from_db()
    assert host.missed_probes == 3


def test_a_busy_host_is_a_missed_probe_with_its_reason() -> None:
    host = a_host(last_seen=timezone.now())
    refreshing.miss(host, HostBusy())
    host.refresh_from_db()
    assert (host.missed_probes, host.problem) == (1, "host_busy")


def test_statuses_that_time_changes_are_published_once(
    told: Told, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    cache.delete("hosts:statuses")
    host = a_host(last_seen=timezone.now())
    a_host(last_seen=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        assert services.publish_statuses() == 0
        for age in (31, 121):
            Host.objects.filter(pk=host.pk).update(last_seen=timezone.now() - timedelta(seconds=age))
            assert services.publish_statuses() == 1
            assert services.publish_statuses() == 0
    assert told == [("host.changed", host.pk, ("fleet", f"host.{host.pk}"))] * 2


@pytest.mark.parametrize(
    ("age", "missed", "trust", "expected"),
    [
        (None, 0, "found", "unknown"),
        (1, 0, "retired", "unknown"),
        (1, 0, "denied", "unknown"),
        (1, 0, "owned", "online"),
        (1, 1, "owned", "online"),
        (1, 2, "owned", "stale"),
        (31, 0, "owned", "stale"),
        (121, 0, "owned", "offline"),
        (121, 9, "owned", "offline"),
    ],
)
def test_status(age: int | None, missed: int, trust: str, expected: str) -> None:
    seen = None if age is None else timezone.now() - timedelta(seconds=age)
    a_host(last_seen=seen, missed_probes=missed, trust=trust)
    assert Host.objects.with_status().get().status == expected
