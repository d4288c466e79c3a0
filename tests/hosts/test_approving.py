"""Approval of many: a verdict for each, whatever becomes of the others."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from hosts import services
from hosts.choices import MOST_APPROVED, Trust
from hosts.models import Host

from .factories import a_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


@pytest.mark.parametrize("ids", [None, [], [0], ["x"], [2**63], list(range(1, MOST_APPROVED + 2))])
def test_what_names_no_hosts_is_400(api: APIClient, ids: object) -> None:
    answer = api.post("/api/hosts/approve/", {"ids": ids}, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["ids"])


def test_nothing_changes_by_get(api: APIClient) -> None:
    assert api.get("/api/hosts/approve/").status_code == 405


def test_who_is_no_administrator_approves_nothing(sam: User, stranger: Client) -> None:
    host = a_host(trust=Trust.PENDING)
    stranger.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
    for path in ("/hosts/approve/", "/api/hosts/approve/"):
        assert stranger.post(path, {"ids": [host.pk]}).status_code == 403
    assert Host.objects.get().approved_at is None


def test_each_has_a_verdict_and_none_hinders_another(api: APIClient) -> None:
    found, waiting = (
        a_host(trust=Trust.FOUND, hostname="hv-01"),
        a_host(trust=Trust.PENDING, hostname="hv-02"),
    )
    denied = a_host(trust=Trust.DENIED, hostname="hv-03")
    ids = [found.pk, 10**9, waiting.pk, denied.pk, waiting.pk]
    told = api.post("/api/hosts/approve/", {"ids": ids}, format="json").json()
    assert [(verdict["id"], verdict["name"], verdict["problem"]) for verdict in told] == [
        (found.pk, "hv-01", "not_waiting"),
        (10**9, str(10**9), "not_found"),
        (waiting.pk, "hv-02", ""),
        (denied.pk, "hv-03", ""),
    ]
    assert [bool(verdict["reason"]) for verdict in told] == [True, True, False, False]
    assert set(Host.objects.filter(approved_at=None)) == {found}


def test_the_approver_is_told_to_every_decision(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(
        "hosts.services.approving.approve", lambda host, *, actor: told.append((host.pk, actor))
    )
    hosts = [a_host(trust=Trust.PENDING) for _ in range(2)]
    services.approve_many([host.pk for host in hosts], actor=ada)
    assert told == [(host.pk, ada) for host in hosts]


def test_the_page_lists_those_that_wait_with_their_keys(browser: Client) -> None:
    a_host(trust=Trust.PENDING, hostname="waits", public_key_sha256="ab" * 32)
    a_host(trust=Trust.PENDING, hostname="approved", approved_at=timezone.now())
    a_host(trust=Trust.FOUND, hostname="found")
    page = browser.get("/hosts/approve/").content.decode()
    assert ":".join(["AB"] * 32) in page
    assert "virshmanagerd status" in page
    assert ">waits<" in page
    assert ">approved<" not in page
    assert ">found<" not in page
    assert "1 host waits for your approval" in browser.get("/hosts/").content.decode()


@pytest.mark.parametrize("ids", [[], ["x"], range(1, MOST_APPROVED + 2)])
def test_none_or_too_many_on_the_page(browser: Client, ids: list[str]) -> None:
    host = a_host(trust=Trust.PENDING)
    page = browser.post("/hosts/approve/", {"ids": ids}, follow=True).content.decode()
    assert "Select from 1 to" in page
    host.refresh_from_db()
    assert host.approved_at is None


def test_the_page_names_those_that_were_refused(browser: Client) -> None:
    waiting, found = a_host(trust=Trust.PENDING), a_host(trust=Trust.OWNED, hostname="owned-one")
    answer = browser.post("/hosts/approve/", {"ids": [waiting.pk, found.pk]})
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "1 host was approved." in page
    assert "1 host was not approved" in page
    assert "owned-one" in page
    assert "It does not wait for an approval." in page


def test_the_page_approves(browser: Client) -> None:
    hosts = [a_host(trust=Trust.PENDING) for _ in range(2)]
    page = browser.post("/hosts/approve/", {"ids": [host.pk for host in hosts]}, follow=True).content.decode()
    assert "2 hosts were approved." in page
    assert "waits for your approval" not in page
    assert not Host.objects.waiting().exists()


def test_a_host_is_adopted_from_the_list(browser: Client) -> None:
    offers = {trust: a_host(trust=trust) for trust in Trust}
    page = browser.get("/hosts/").content.decode()
    shown = {trust for trust, host in offers.items() if f"/hosts/{host.pk}/adopt/" in page}
    assert shown == {Trust.FOUND, Trust.PENDING}
