"""Alive, ready, and the numbers for Prometheus."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from django_redis import get_redis_connection
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from discovery.choices import CrawlState, Kind, Phase
from discovery.models import Address, Crawl, Range
from domains.watcher.beats import KEY as WATCHER_BEAT_KEY
from domains.watcher.beats import note_watcher
from hosts.choices import Trust
from tests.domains.factories import domain, owned_host
from virshmanager.health import WORKER_BEAT_KEY
from virshmanager.tasks import heartbeat

pytestmark = pytest.mark.django_db


def test_without_a_worker_it_is_not_ready(stranger: Client) -> None:
    note_watcher()
    get_redis_connection().delete(WORKER_BEAT_KEY)
    answer = stranger.get("/readyz")
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert (answer.json()["type"], answer.json()["missing"]) == ("not_ready", ["worker"])


def test_without_a_watcher_it_is_not_ready(stranger: Client) -> None:
    heartbeat()
    get_redis_connection().delete(WATCHER_BEAT_KEY)
    assert stranger.get("/readyz").json()["missing"] == ["watcher"]


def test_without_redis_it_is_alive_and_not_ready(stranger: Client, no_redis: None) -> None:
    assert stranger.get("/readyz").json()["missing"] == ["redis", "worker", "watcher"]
    assert stranger.get("/healthz").status_code == 200


def test_without_a_database_it_is_not_ready(stranger: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat()
    note_watcher()

    def gone(*_: object) -> None:
        raise OperationalError("unable to open database file")

    monkeypatch.setattr("virshmanager.health.connection.cursor", gone)
    assert stranger.get("/readyz").json()["missing"] == ["database"]
    assert stranger.get("/healthz").status_code == 200


def test_ready(stranger: Client) -> None:
    heartbeat()
    note_watcher()
    answer = stranger.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert 0 < get_redis_connection().ttl(WORKER_BEAT_KEY) <= 20


def test_metrics_are_for_administrators(stranger: Client, browser: Client, sam: User) -> None:
    assert stranger.get("/metrics").status_code == 401
    stranger.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert stranger.get("/metrics").status_code == 403
    assert browser.get("/metrics").status_code == 200


def test_metrics(api: APIClient, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    host = owned_host()
    owned_host(trust=Trust.PENDING)
    domain(host, state="running")
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    Address.objects.create(range=range_, ip="192.0.2.9", packed=b"x", kind=Kind.OTHER)
    Crawl.objects.create(
        range=range_,
        phase=Phase.PROBE,
        state=CrawlState.SUCCEEDED,
        finished_at=timezone.now() - timedelta(seconds=30),
    )
    with django_assert_max_num_queries(17):
        answer = api.get(
            "/metrics", HTTP_ACCEPT="application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        )
    assert answer["Content-Type"].startswith("text/plain")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.getvalue().decode())
        for sample in family.samples
    }
    assert samples["virshmanager_hosts", "owned"] == 1
    assert samples["virshmanager_hosts", "pending"] == 1
    assert samples["virshmanager_owned_hosts", "online"] == 1
    assert samples["virshmanager_domains", "running"] == 1
    assert samples["virshmanager_addresses", "other"] == 1
    assert 30 <= samples["virshmanager_last_crawl_age_seconds", "probe", "192.0.2.0/24"] < 60
    assert samples[("process_resident_memory_bytes",)] > 0


def test_the_summary_counts_what_is_known_of_silent_hosts_alone(api: APIClient) -> None:
    domain(owned_host(last_seen=timezone.now() - timedelta(minutes=5)), state="running")
    domain(state="running")
    domains = api.get("/api/summary/").json()["domains"]
    assert (domains["total"], domains["stale"], domains["state"]["running"]) == (2, 1, 2)


def test_the_summary_counts(api: APIClient) -> None:
    host = owned_host(cpus=8, memory=2**34, memory_free=2**33, libvirt_alive=False)
    owned_host(trust=Trust.DENIED)
    domain(host, state="running")
    domain(host, state="shutoff")
    numbers = api.get("/api/summary/").json()
    assert numbers["hosts"]["total"] == 1
    assert numbers["hosts"]["trust"] == {"found": 0, "pending": 0, "owned": 1, "denied": 1, "retired": 0}
    assert numbers["hosts"]["status"]["online"] == 1
    assert numbers["hosts"]["libvirt_down"] == 1
    assert (numbers["domains"]["total"], numbers["domains"]["state"]["running"]) == (2, 1)
    assert numbers["domains"]["stale"] == 2
    assert (numbers["cpus"], numbers["memory"], numbers["memory_free"]) == (8, 2**34, 2**33)
