"""`/api/hosts/` and `/api/join-keys/`: refusals first."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from discovery.models import Range
from hosts.choices import Trust
from hosts.models import Host, HostAddress, JoinKey
from tests.domains.factories import domain, owned_host

pytestmark = pytest.mark.django_db

HOST_FIELDS = {
    *("id", "uuid", "hostname", "address", "addresses", "port", "trust", "status", "reason", "last_seen"),
    *("daemon_version", "libvirt", "cpus", "cpu_model", "memory", "memory_free", "load", "domain_counts"),
}
KEY_FIELDS = {
    *(
        "id",
        "label",
        "cidrs",
        "approve",
        "max_uses",
        "uses",
        "state",
        "created_at",
        "expires_at",
        "revoked_at",
    ),
}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "address"),
        ({"address": "host.example"}, "address"),
        ({"address": "127.0.0.1 -oN /tmp/x"}, "address"),
        ({"address": "127.0.0.1"}, "address"),
        ({"address": "127.0.0.1", "port": 0}, "port"),
        ({"address": "127.0.0.1", "port": 65536}, "port"),
    ],
)
def test_what_may_not_be_dialled_is_400(api: APIClient, body: dict[str, object], field: str) -> None:
    answer = api.post("/api/hosts/", body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_an_address_where_nobody_answers_is_409(api: APIClient, unused_tcp_port: int) -> None:
    Range.objects.create(cidr="127.0.0.1/32")
    answer = api.post("/api/hosts/", {"address": "127.0.0.1", "port": unused_tcp_port}, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "refused")


@pytest.mark.parametrize(
    ("trust", "verb", "kind"),
    [
        (Trust.OWNED, "approve", "not_waiting"),
        (Trust.FOUND, "approve", "not_waiting"),
        (Trust.OWNED, "deny", "still_owned"),
        (Trust.PENDING, "retire", "not_owned"),
    ],
)
def test_verbs_that_do_not_fit_are_409(api: APIClient, trust: Trust, verb: str, kind: str) -> None:
    host = owned_host(trust=trust)
    answer = api.post(f"/api/hosts/{host.pk}/{verb}/")
    assert (answer.status_code, answer.json()["type"]) == (409, kind)
    host.refresh_from_db()
    assert host.trust == trust


def test_an_owned_host_is_not_deleted(api: APIClient) -> None:
    host = owned_host()
    assert api.delete(f"/api/hosts/{host.pk}/").status_code == 409
    assert Host.objects.filter(pk=host.pk).exists()


def test_facts_of_a_host_are_not_written_here(api: APIClient) -> None:
    host = owned_host()
    for method in (api.put, api.patch):
        assert method(f"/api/hosts/{host.pk}/", {"trust": "owned"}, format="json").status_code == 405


@pytest.mark.parametrize("verb", ["approve", "deny", "retire", "probe"])
def test_nothing_changes_by_get(api: APIClient, verb: str) -> None:
    assert api.get(f"/api/hosts/{owned_host().pk}/{verb}/").status_code == 405


def test_a_host_has_the_fields_of_the_contract(api: APIClient) -> None:
    host = owned_host(
        libvirt_uri="qemu:///system", libvirt_version="9.0.0", hypervisor="QEMU", libvirt_alive=True
    )
    HostAddress.objects.create(host=host, ip="192.0.2.200")
    HostAddress.objects.create(host=host, ip="2001:db8::1")
    domain(host, state="running")
    shown = api.get(f"/api/hosts/{host.pk}/").json()
    assert set(shown) >= HOST_FIELDS
    assert shown == api.get("/api/hosts/").json()["results"][0]
    assert sorted(shown["addresses"]) == ["192.0.2.200", "2001:db8::1"]
    assert shown["libvirt"] == {
        "uri": "qemu:///system", "version": "9.0.0", "hypervisor": "QEMU", "alive": True
    }  # fmt: skip
    assert (shown["trust"], shown["status"]) == ("owned", "online")
    assert (shown["domain_counts"]["total"], shown["domain_counts"]["running"]) == (1, 1)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=offline", ["old"]),
        ("status=online&status=offline", ["new", "old"]),
        ("trust=denied", ["bad"]),
        ("search=OL", ["old"]),
        ("search=192.0.2.77", ["new"]),
        ("ordering=-hostname&trust=owned", ["old", "new"]),
    ],
)
def test_filters(api: APIClient, query: str, names: list[str]) -> None:
    new = owned_host(hostname="new", address="198.51.100.1")
    owned_host(hostname="old", address="198.51.100.2", last_seen=timezone.now() - timedelta(hours=1))
    owned_host(hostname="bad", address="198.51.100.3", trust=Trust.DENIED)
    HostAddress.objects.create(host=new, ip="192.0.2.77")
    assert [row["hostname"] for row in api.get(f"/api/hosts/?{query}").json()["results"]] == names


def test_the_life_of_a_host(api: APIClient) -> None:
    host = owned_host(trust=Trust.PENDING)
    assert api.post(f"/api/hosts/{host.pk}/deny/").json()["trust"] == "denied"
    assert api.post(f"/api/hosts/{host.pk}/approve/").json()["trust"] == "pending"
    Host.objects.update(trust=Trust.OWNED)
    assert api.post(f"/api/hosts/{host.pk}/retire/").json()["trust"] == "retired"
    assert api.delete(f"/api/hosts/{host.pk}/").status_code == 204
    assert api.get(f"/api/hosts/{host.pk}/").status_code == 404


def test_a_probe_of_a_host_outside_all_ranges_says_so(api: APIClient) -> None:
    answer = api.post(f"/api/hosts/{owned_host().pk}/probe/")
    assert answer.status_code == 200
    assert answer.json()["problem"] == "outside_ranges"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cidrs": ["nonsense"]}, "cidrs"),
        ({"cidrs": "192.0.2.0/24"}, "cidrs"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 10**12}, "expires_in"),
        ({"max_uses": 0}, "max_uses"),
        ({"approve": "maybe"}, "approve"),
        ({"label": "x" * 101}, "label"),
    ],
)
def test_what_cannot_be_a_join_key_is_400(api: APIClient, body: dict[str, object], field: str) -> None:
    answer = api.post("/api/join-keys/", body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not JoinKey.objects.exists()


def test_the_life_of_a_join_key(api: APIClient) -> None:
    asked = {
        "label": "rack 4",
        "cidrs": ["192.0.2.0/24"],
        "expires_in": 3600,
        "max_uses": 5,
        "approve": "pending",
    }
    made = api.post("/api/join-keys/", asked, format="json")
    assert made.status_code == 201
    assert set(made.json()) == KEY_FIELDS | {"join"}
    join = made.json()["join"]
    assert set(join) == {"version", "key_id", "secret", "ca", "expires_at"}
    url = f"/api/join-keys/{made.json()['id']}/"
    shown = api.get(url)
    assert set(shown.json()) == KEY_FIELDS
    assert join["secret"].encode() not in shown.content + api.get("/api/join-keys/").content
    assert (shown.json()["state"], shown.json()["uses"], shown.json()["max_uses"]) == ("usable", 0, 5)
    assert api.delete(url).status_code == 204
    assert api.get(url).json()["state"] == "revoked"
