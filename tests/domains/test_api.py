"""`/api/domains/`: refusals first, then what is shown."""

import json
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from domains import services
from domains.models import Domain
from domains.services import details
from hosts.choices import Trust
from hosts.models import Host

from .factories import domain, facts, owned_host

pytestmark = pytest.mark.django_db

FIELDS = {
    *("id", "uuid", "name", "host", "state", "reason", "stale", "vcpus", "memory", "persistent", "autostart"),
    *("title", "description", "tags", "last_seen", "has_managed_save", "actions"),
}


def test_an_unknown_domain_is_404(api: APIClient) -> None:
    for name in ("0", "99999999999999999999999", "web", "-1"):
        assert api.get(f"/api/domains/{name}/").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "state=flying",
        "host=0",
        "host=web",
        "state=running&state=no",
        "search=%00",
        "ordering=host__uuid",
        "stale=maybe",
        "autostart=2",
    ],
)
def test_a_filter_that_cannot_be_is_400(api: APIClient, query: str) -> None:
    answer = api.get(f"/api/domains/?{query}")
    assert answer.status_code == 400
    assert answer.json()["type"] == "invalid"
    assert answer.json()["errors"]


@pytest.mark.parametrize("method", ["post", "put"])
def test_a_domain_is_not_written_as_a_whole(api: APIClient, method: str) -> None:
    row = domain()
    assert getattr(api, method)(f"/api/domains/{row.pk}/", {"title": "x"}).status_code == 405
    assert getattr(api, method)("/api/domains/", {"title": "x"}).status_code == 405


def test_a_domain_of_a_host_that_is_not_owned_is_not_asked_for(api: APIClient) -> None:
    row = domain()
    Host.objects.update(trust=Trust.RETIRED)
    for part in ("xml", "screenshot"):
        answer = api.get(f"/api/domains/{row.pk}/{part}/")
        assert (answer.status_code, answer.json()["type"]) == (409, "host_not_owned")


def test_xml_of_a_kind_that_is_not_is_400(api: APIClient) -> None:
    assert api.get(f"/api/domains/{domain().pk}/xml/?which=dead").status_code == 400


def test_a_row_has_the_fields_of_the_contract(api: APIClient) -> None:
    row = domain(name="web", tags=["prod"], state="running")
    listed = api.get("/api/domains/").json()
    assert {"count", "next", "previous", "results"} == set(listed)
    shown = listed["results"][0]
    assert set(shown) >= FIELDS
    assert shown["host"] == {"id": row.host.pk, "hostname": row.host.hostname}
    assert (shown["name"], shown["tags"], shown["stale"]) == ("web", ["prod"], False)
    assert {"shutdown", "destroy", "autostart"} <= set(shown["actions"])
    assert "start" not in shown["actions"]


def test_one_domain_shows_more_than_its_row(api: APIClient) -> None:
    row = domain()
    row.details = {
        "disks": [
            disk := {
                "target": "vda",
                "bus": "virtio",
                "device": "disk",
                "type": "file",
                "source": "/x",
                "format": "qcow2",
                "readonly": False,
            }
        ]
    }
    row.save()
    shown = api.get(f"/api/domains/{row.pk}/").json()
    assert set(shown) >= FIELDS | {"disks", "interfaces", "graphics", "xml_hash", "details_at"}
    assert shown["disks"] == [disk]
    assert shown["interfaces"] == []


def test_a_domain_never_looked_at_has_no_devices(api: APIClient) -> None:
    shown = api.get(f"/api/domains/{domain().pk}/").json()
    assert (shown["disks"], shown["interfaces"], shown["graphics"], shown["details_at"]) == ([], [], [], None)


@pytest.mark.usefixtures("redis_server")
def test_devices_are_looked_at_again_when_the_clock_was_set_back(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[int] = []
    monkeypatch.setattr(details, "wake_worker", lambda _task, key, **_how: woken.append(key))
    row, just = domain(), domain()
    Domain.objects.filter(pk=row.pk).update(details_at=timezone.now() + timedelta(hours=1))
    Domain.objects.filter(pk=just.pk).update(details_at=timezone.now())
    for pk in (row.pk, just.pk):
        cache.delete(f"domain-details:{pk}")
        api.get(f"/api/domains/{pk}/")
    assert woken == [row.pk]


def test_a_silent_host_makes_its_domains_stale_and_keeps_their_state(api: APIClient) -> None:
    host = owned_host()
    domain(host, state="running")
    Host.objects.update(last_seen=timezone.now() - timedelta(minutes=5))
    shown = api.get("/api/domains/").json()["results"][0]
    assert (shown["state"], shown["stale"]) == ("running", True)


def test_a_present_domain_was_seen_when_its_host_was_listed(api: APIClient) -> None:
    host = owned_host()
    domain(host)
    later = timezone.now() + timedelta(seconds=15)
    Host.objects.update(listed_at=later)
    assert api.get("/api/domains/").json()["results"][0]["last_seen"] == later.isoformat().replace(
        "+00:00", "Z"
    )


def test_a_list_costs_the_same_queries_at_any_size(api: APIClient) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert api.get("/api/domains/").status_code == 200
        return len(seen)

    domain()
    cost()  # the first use of a token is noted
    few = cost()
    for _ in range(3):
        services.mirror(owned_host(), [facts(tags=["a"], state="running") for _ in range(10)])
    assert cost() == few


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=running", ["web"]),
        ("state=running&state=paused", ["db", "web"]),
        ("autostart=true", ["db"]),
        ("autostart=0", ["web"]),
        ("autostart=", ["db", "web"]),
        ("tag=prod", ["web"]),
        ("tag=pro", []),
        ("tag=grün", ["db"]),
        ("tag=not%22prod", ["db"]),
        ("search=WEB", ["web"]),
        ("search=w+b", ["web"]),
        ("search=w+z", []),
        ("search=PROD", ["db", "web"]),
        ("search=rün", ["db"]),
        ("search=u00fc", []),
        ("search=%22", ["db"]),
        ("search=[", []),
        ("search=pr_d", []),
        ("search=%25", []),
        ("ordering=-name", ["web", "db"]),
    ],
)
def test_filters(api: APIClient, query: str, names: list[str]) -> None:
    host = owned_host(hostname="alpha")
    domain(host, name="web", state="running", tags=["prod"])
    domain(host, name="db", state="paused", autostart=True, tags=["grün", 'not"prod'])
    assert [row["name"] for row in api.get(f"/api/domains/?{query}").json()["results"]] == names


def test_a_hostile_name_stays_text(api: APIClient) -> None:
    domain(name=(name := "<script>alert(1)</script>'\"&"))
    answer = api.get("/api/domains/")
    assert json.loads(answer.content)["results"][0]["name"] == name
    page = api.get("/api/domains/", HTTP_ACCEPT="text/html")
    assert page["Content-Type"].startswith("text/html")
    assert b"<script>alert" not in page.content
