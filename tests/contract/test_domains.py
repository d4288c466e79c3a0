"""From a real daemon's listing to the API of domains."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from domains import services, tasks
from domains.models import Domain
from hosts.models import Host
from hosts.services import retire

from .conftest import meet
from .machines import Machine, Running

Run = Callable[..., Running]


@pytest.fixture
def domain(run: Run, machine: Machine) -> Domain:
    """libvirt's test driver has one domain, `test`, and it runs."""
    meet(run(machine))
    return Domain.objects.select_related("host").get()


def test_of_a_host_that_stopped_nothing_is_told_and_nothing_waits(machine: Machine, api: APIClient) -> None:
    with machine.run() as running:
        meet(running)
    domain = Domain.objects.get()
    assert api.get(f"/api/domains/{domain.pk}/").status_code == 200
    answer = api.get(f"/api/domains/{domain.pk}/xml/")
    assert (answer.status_code, answer.json()["type"]) == (503, "unreachable")
    tasks.refresh_details(domain.pk)
    domain.refresh_from_db()
    assert domain.details_at is None


def test_a_domain_that_is_not_listed_is_not_asked_for(domain: Domain, api: APIClient) -> None:
    services.mirror(domain.host, [])
    answer = api.get(f"/api/domains/{domain.pk}/xml/")
    assert (answer.status_code, answer.json()["type"]) == (409, "domain_missing")


def test_a_retired_host_is_not_asked(domain: Domain, api: APIClient) -> None:
    retire(Host.objects.get())
    answer = api.get(f"/api/domains/{domain.pk}/screenshot/")
    assert (answer.status_code, answer.json()["type"]) == (409, "host_not_owned")


def test_a_listing_becomes_rows(domain: Domain, api: APIClient) -> None:
    (row,) = api.get("/api/domains/").json()["results"]
    assert (row["name"], row["state"], row["stale"], row["vcpus"]) == ("test", "running", False, 2)
    assert row["host"] == {"id": domain.host.pk, "hostname": "hv-01"}
    assert api.get(f"/api/hosts/{domain.host.pk}/").json()["domain_counts"]["running"] == 1


def test_details_are_fetched_by_a_worker_and_kept(domain: Domain, api: APIClient) -> None:
    tasks.refresh_details(domain.pk)
    shown = api.get(f"/api/domains/{domain.pk}/").json()
    assert shown["details_at"] is not None
    assert isinstance(shown["disks"], list)
    assert isinstance(shown["interfaces"], list)


def test_xml_and_screenshot_come_from_the_host(domain: Domain, api: APIClient) -> None:
    xml = api.get(f"/api/domains/{domain.pk}/xml/?which=inactive")
    assert xml["Content-Type"] == "application/xml; charset=utf-8"
    assert xml.content.startswith(b"<domain")
    picture = api.get(f"/api/domains/{domain.pk}/screenshot/")
    assert picture["Content-Type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
