"""`/metrics` as Prometheus reads it."""

from collections import Counter
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient
from django.utils import timezone
from django_redis import get_redis_connection
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries
from redis.exceptions import ConnectionError as NotThere
from rest_framework.test import APIClient

from access.services import create_token
from domains import rings
from domains.models import Domain
from domains.services import record_stats
from domains.watcher import beats
from domains.watcher.beats import note_watcher
from hosts.choices import Trust
from hosts.events import HostEvent, Stats
from hosts.models import Host, Operation
from hosts.trust import asking
from tests.domains.factories import domain, owned_host
from tests.domains.measuring import message, stats
from virshmanager import metrics

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("rings_redis")]

Samples = dict[tuple[str, ...], float]
COUNTED = {
    "libvirt_domain_info_virtual_cpus": 2,
    "libvirt_domain_info_memory_usage_bytes": 2**30,
    "libvirt_domain_memory_stats_used_percent": 50,
    "libvirt_domain_info_cpu_time_seconds_total": 100,
    "libvirt_domain_block_stats_read_bytes_total": 100_000,
    "libvirt_domain_block_stats_write_bytes_total": 200_000,
    "libvirt_domain_block_stats_read_requests_total": 1000,
    "libvirt_domain_block_stats_write_requests_total": 2000,
    "libvirt_domain_interface_stats_receive_bytes_total": 30_000,
    "libvirt_domain_interface_stats_transmit_bytes_total": 40_000,
    "libvirt_domain_interface_stats_receive_packets_total": 300,
    "libvirt_domain_interface_stats_transmit_packets_total": 400,
}


def read(text: str) -> Samples:
    """Every sample by its name and its labels' values, in the order of the labels' names."""
    samples = [
        ((sample.name, *(value for _, value in sorted(sample.labels.items()))), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    # Prometheus refuses a text that tells a series twice.
    assert len(dict(samples)) == len(samples)
    return dict(samples)


def scraped(api: APIClient) -> Samples:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    return read(answer.getvalue().decode())


def of_host(host: Host) -> tuple[str, str]:
    return host.hostname, str(host.pk)


def labels(row: Domain) -> tuple[str, str, str, str]:
    return row.name, *of_host(row.host), str(row.uuid)


def counted(row: Domain, samples: Samples) -> dict[str, float]:
    return {name: samples[name, *labels(row)] for name in COUNTED if (name, *labels(row)) in samples}


@pytest.mark.attack("Hostile guest")
def test_hostile_names_stay_labels(api: APIClient) -> None:
    name = 'a"} 1\\n{"\\'
    row = domain(owned_host(hostname=name), name=name, state="running")
    assert scraped(api)["libvirt_domain_info_vstate", *labels(row)] == 1


def test_hosts_of_one_name_and_copies_of_one_domain_are_told_apart(api: APIClient) -> None:
    first, second = (owned_host(hostname="localhost", libvirt_alive=alive) for alive in (True, False))
    row = domain(first, name="web", state="running")
    moved = domain(second, name="web", uuid=row.uuid, state="shutoff")
    samples = scraped(api)
    assert samples["libvirt_up", *of_host(first)] == 1
    assert samples["libvirt_up", *of_host(second)] == 0
    assert samples["libvirt_domain_info_vstate", *labels(row)] == 1
    assert samples["libvirt_domain_info_vstate", *labels(moved)] == 5


def test_without_redis_the_rest_is_told(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    row = domain(state="paused")
    for module in (metrics, rings):
        monkeypatch.setattr(module, "get_redis_connection", Mock(side_effect=NotThere))
    samples = scraped(api)
    assert samples[("virshmanager_redis_up",)] == 0
    assert samples["libvirt_domain_info_vstate", *labels(row)] == 3
    assert counted(row, samples) == {}


def test_what_is_not_known_now_is_not_told(api: APIClient) -> None:
    silent, retired, down = owned_host(), owned_host(trust=Trust.RETIRED), owned_host(libvirt_alive=False)
    rows = [domain(host, state="running") for host in (silent, retired)]
    missing = domain()
    Domain.objects.filter(pk=missing.pk).update(missing_since=timezone.now())
    Host.objects.filter(pk=silent.pk).update(last_seen=timezone.now() - timedelta(minutes=5))
    samples = scraped(api)
    for row in (*rows, missing):
        assert ("libvirt_domain_info_vstate", *labels(row)) not in samples
    assert samples["libvirt_up", *of_host(silent)] == samples["libvirt_up", *of_host(down)] == 0
    assert ("libvirt_up", *of_host(retired)) not in samples


def test_what_a_domain_counted(api: APIClient) -> None:
    row, off = domain(owned_host(libvirt_alive=True), state="running"), domain(state="shutoff")
    told = message(1, [stats(row, 100)])
    assert record_stats(row.host, told) == 1
    samples = scraped(api)
    assert counted(row, samples) == COUNTED
    assert samples["libvirt_domain_info_vstate", *labels(row)] == 1
    assert samples["libvirt_domain_info_vstate", *labels(off)] == 5
    assert samples["libvirt_domain_info_maximum_memory_bytes", *labels(row)] == 2**31
    assert samples["libvirt_up", *of_host(row.host)] == 1
    assert counted(off, samples) == {}


def test_counters_that_are_not_known_are_left_out(api: APIClient) -> None:
    row = domain(state="running")
    record_stats(row.host, message(1, [{"uuid": str(row.uuid), "vcpus": 4}]))
    assert counted(row, scraped(api)) == {"libvirt_domain_info_virtual_cpus": 4}


def test_the_manager_tells_of_itself(api: APIClient) -> None:
    now = timezone.now()
    owned_host(watched_at=now, listed_at=now - timedelta(seconds=7))
    owned_host(watched_at=now - timedelta(minutes=1))
    Operation.objects.create(verb="start", target_type="domain", state="failed", deadline=now)
    samples = scraped(api)
    assert samples["virshmanager_operations", "failed"] == 1
    assert samples["virshmanager_operations", "accepted"] == 0
    assert samples[("virshmanager_watched_hosts",)] == 1
    assert 7 <= samples[("virshmanager_oldest_listing_age_seconds",)] < 30
    assert samples[("virshmanager_redis_up",)] == 1
    assert samples[("virshmanager_redis_memory_bytes",)] > 0
    assert samples[("virshmanager_live_events_total",)] >= 0


def test_what_watchers_heard_is_told_by_kind(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    get_redis_connection().delete(beats.HEARD_KEY)
    for kind in ("_heard", "_told"):
        monkeypatch.setattr(beats, kind, Counter())
    note_watcher()
    assert ("virshmanager_events_total", "stats") not in scraped(api)
    for heard in (Stats({}), Stats({}), HostEvent("e", 1, "made.up", "")):
        beats.count(heard)
    with monkeypatch.context() as without:
        without.setattr(beats, "get_redis_connection", Mock(side_effect=NotThere))
        with pytest.raises(NotThere):
            note_watcher()
    note_watcher()
    note_watcher()
    samples = scraped(api)
    assert samples["virshmanager_events_total", "stats"] == 2
    assert samples["virshmanager_events_total", "host"] == 1
    beats.count(Stats({}))
    note_watcher()
    assert scraped(api)["virshmanager_events_total", "stats"] == 3


def test_whether_the_signer_answers_is_told(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scraped(api)[("virshmanager_signer_up",)] == 1

    def down(*_: object) -> bytes:
        raise TimeoutError

    monkeypatch.setattr(asking, "exchange", down)
    assert scraped(api)[("virshmanager_signer_up",)] == 0


def test_the_certificate_that_ends_first_is_told(api: APIClient) -> None:
    name = ("virshmanager_first_certificate_expiry_timestamp_seconds",)
    owned_host()
    assert name not in scraped(api)
    now = timezone.now()
    for days, trust in ((20, Trust.OWNED), (10, Trust.OWNED), (5, Trust.RETIRED)):
        owned_host(trust=trust, certificate_expires_at=now + timedelta(days=days))
    assert scraped(api)[name] == pytest.approx((now + timedelta(days=10)).timestamp())


def test_it_costs_a_fixed_number_of_queries(
    api: APIClient, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        host = owned_host()
        rows = [domain(host, state="running") for _ in range(5)]
        record_stats(host, message(1, map(stats, rows)))
        with django_assert_max_num_queries(17):
            scraped(api)


async def streamed(token: str) -> bytes:
    answer: Any = await AsyncClient().get("/metrics", headers={"Authorization": f"Token {token}"})
    assert answer.is_async
    return b"".join([piece async for piece in answer.streaming_content])


def test_the_asynchronous_server_streams_it(ada: User) -> None:
    _, token = create_token(user=ada, name="prometheus")
    text = async_to_sync(streamed)(token).decode()
    assert read(text)[("virshmanager_redis_up",)] == 1
