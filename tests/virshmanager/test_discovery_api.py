"""`/api/ranges/`, `/api/crawls/` and `/api/addresses/`: refusals first."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from access.choices import Role
from discovery.choices import CrawlState, Kind, Phase
from discovery.models import Address, Crawl, Range
from tests.access.granting import granted
from tests.domains.factories import owned_host

pytestmark = pytest.mark.django_db

RANGE_FIELDS = {
    *("id", "cidr", "label", "port", "excluded", "max_rate", "enabled", "schedule", "counts", "last_crawl"),
}
CRAWL_FIELDS = {
    *("id", "range", "phase", "state", "progress", "counts", "changes", "packets_sent"),
    *("started_at", "finished_at", "problem"),
}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "cidr"),
        ({"cidr": ""}, "cidr"),
        ({"cidr": "nonsense"}, "cidr"),
        ({"cidr": "10.0.0.0/8"}, "cidr"),
        ({"cidr": "192.0.2.0/33"}, "cidr"),
        ({"cidr": "192.0.2.0/24 --script=x"}, "cidr"),
        ({"cidr": "-iL /etc/passwd"}, "cidr"),
        ({"cidr": "2001:db8::/64"}, "cidr"),
        ({"cidr": 5}, "cidr"),
        ({"cidr": ["192.0.2.0/24"]}, "cidr"),
        ({"cidr": "192.0.2.0/24", "port": 0}, "port"),
        ({"cidr": "192.0.2.0/24", "port": "22;id"}, "port"),
        ({"cidr": "192.0.2.0/24", "max_rate": 0}, "max_rate"),
        ({"cidr": "192.0.2.0/24", "max_rate": 1e99}, "max_rate"),
        ({"cidr": "192.0.2.0/24", "excluded": ["nonsense"]}, "excluded"),
        ({"cidr": "192.0.2.0/24", "excluded": "192.0.2.1"}, "excluded"),
        ({"cidr": "192.0.2.0/24", "excluded": ["198.51.100.1"]}, "excluded"),
        ({"cidr": "192.0.2.0/24", "schedule": {"full": 0}}, "schedule"),
        ({"cidr": "192.0.2.0/24", "schedule": "daily"}, "schedule"),
        ({"cidr": "192.0.2.0/24", "label": "x" * 101}, "label"),
    ],
)
def test_what_cannot_be_a_range_is_400_and_names_the_field(
    api: APIClient, body: dict[str, object], field: str
) -> None:
    answer = api.post("/api/ranges/", body, format="json")
    assert (answer.status_code, answer.json()["type"]) == (400, "invalid")
    assert field in answer.json()["errors"]
    assert not Range.objects.exists()


def test_a_range_there_is_already_is_400(api: APIClient) -> None:
    assert api.post("/api/ranges/", {"cidr": "192.0.2.0/24"}, format="json").status_code == 201
    answer = api.post("/api/ranges/", {"cidr": "192.0.2.0/24"}, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["cidr"])


@pytest.mark.parametrize("body", [{}, {"phase": ""}, {"phase": "everything"}, {"phase": None}])
def test_a_crawl_needs_a_phase(api: APIClient, body: dict[str, object]) -> None:
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    answer = api.post(f"/api/ranges/{range_.pk}/crawl/", body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["phase"])


def test_a_phase_that_runs_is_409_and_names_its_crawl(api: APIClient) -> None:
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    first = api.post(f"/api/ranges/{range_.pk}/crawl/", {"phase": "new"}, format="json")
    assert first.status_code == 202
    answer = api.post(f"/api/ranges/{range_.pk}/crawl/", {"phase": "new"}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "crawl_running")
    assert answer.json()["crawl"] == first.json()["id"]
    assert api.post(f"/api/ranges/{range_.pk}/crawl/", {"phase": "recheck"}, format="json").status_code == 202


def test_a_range_that_is_off_is_not_crawled(api: APIClient) -> None:
    range_ = Range.objects.create(cidr="192.0.2.0/24", enabled=False)
    answer = api.post(f"/api/ranges/{range_.pk}/crawl/", {"phase": "full"}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "range_disabled")


def test_the_life_of_a_range(api: APIClient) -> None:
    made = api.post("/api/ranges/", {"cidr": "192.0.2.0/28", "unknown": 1}, format="json")
    assert made.status_code == 201
    shown = made.json()
    assert set(shown) == RANGE_FIELDS
    assert shown | {"id": 0} == {
        "id": 0,
        "cidr": "192.0.2.0/28",
        "label": "",
        "port": 16510,
        "excluded": [],
        "max_rate": 5000,
        "enabled": True,
        "schedule": {"full": 86400, "new": 1800, "recheck": 600, "probe": 15},
        "counts": {"hypervisors": 0, "foreign": 0, "others": 0, "silent": shown["counts"]["silent"]},
        "last_crawl": None,
    }
    url = f"/api/ranges/{shown['id']}/"
    changes = {"label": "Rack 4", "schedule": {"full": None}, "max_rate": None, "excluded": ["192.0.2.1"]}
    changed = api.patch(url, changes, format="json").json()
    assert changed["schedule"] == {"full": None, "new": 1800, "recheck": 600, "probe": 15}
    assert (changed["label"], changed["max_rate"], changed["excluded"][0][:9]) == (
        "Rack 4",
        None,
        "192.0.2.1",
    )
    assert api.get(url).json() == changed == api.get("/api/ranges/").json()["results"][0]
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404


def test_making_a_range_crawls_nothing(api: APIClient) -> None:
    api.post("/api/ranges/", {"cidr": "192.0.2.0/28"}, format="json")
    assert not Crawl.objects.exists()


def test_a_crawl_is_shown_and_cancelled(api: APIClient) -> None:
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    crawl = api.post(f"/api/ranges/{range_.pk}/crawl/", {"phase": "full"}, format="json").json()
    assert set(crawl) == CRAWL_FIELDS
    assert (crawl["range"], crawl["phase"], crawl["state"]) == (range_.pk, "full", "queued")
    assert set(crawl["progress"]) == {"done", "total"}
    assert set(crawl["changes"]) == {"appeared", "vanished", "changed"}
    assert api.get(f"/api/ranges/{range_.pk}/").json()["last_crawl"] == crawl["id"]
    answer = api.post(f"/api/crawls/{crawl['id']}/cancel/")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert api.get("/api/crawls/?state=cancelled").json()["count"] == 1
    assert api.get("/api/crawls/?state=running&state=queued").json()["count"] == 0


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_crawls_and_addresses_are_written_by_nobody(api: APIClient, method: str) -> None:
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    crawl = Crawl.objects.create(range=range_, phase=Phase.FULL, state=CrawlState.SUCCEEDED)
    assert getattr(api, method)(f"/api/crawls/{crawl.pk}/").status_code == 405
    assert getattr(api, method)("/api/addresses/").status_code == 405


def test_addresses_are_filtered(api: APIClient) -> None:
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    host = owned_host()
    for number, kind in enumerate([Kind.HYPERVISOR, Kind.FOREIGN, Kind.OTHER], 7):
        owner = host if kind == Kind.HYPERVISOR else None
        Address.objects.create(
            range=range_, ip=f"192.0.2.{number}", packed=bytes([number]), kind=kind, host=owner
        )
    row = api.get(f"/api/addresses/?range={range_.pk}&kind=hypervisor").json()["results"][0]
    assert set(row) >= {"ip", "range", "kind", "first_seen", "last_seen", "host"}
    assert (row["ip"], row["range"], row["host"]) == ("192.0.2.7", range_.pk, host.pk)
    assert api.get("/api/addresses/?kind=other&kind=foreign").json()["count"] == 2
    assert api.get("/api/addresses/?search=2.9").json()["results"][0]["kind"] == "other"
    assert api.get("/api/addresses/?ordering=-packed").json()["results"][0]["ip"] == "192.0.2.9"
    assert api.get(f"/api/hosts/?range={range_.pk}").json()["results"][0]["id"] == host.pk
    elsewhere = Range.objects.create(cidr="198.51.100.0/24")
    assert api.get(f"/api/hosts/?range={elsewhere.pk}").json()["count"] == 0


def test_who_sees_a_host_learns_of_no_range_by_its_filter(sam: User, client: Client) -> None:
    granted(sam, Role.VIEWER, owned_host())
    range_ = Range.objects.create(cidr="192.0.2.0/24")
    client.force_login(sam)
    there, not_there = (client.get(f"/api/hosts/?range={key}") for key in (range_.pk, range_.pk + 1))
    assert (there.status_code, not_there.status_code) == (400, 400)
    page = client.get("/api/hosts/", headers={"Accept": "text/html"})
    assert (page.status_code, range_.cidr in page.content.decode()) == (200, False)
