"""What a person decides about a host, on its pages."""

import json
import re
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from hosts.models import Host, JoinKey

from .factories import a_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


def text(browser: Client, path: str) -> str:
    return browser.get(path).content.decode()


def test_asking_changes_nothing(browser: Client) -> None:
    host = a_host()
    assert "Its domains keep running" in text(browser, f"/hosts/{host.pk}/retire/")
    host.refresh_from_db()
    assert host.trust == "owned"


def test_what_is_not_possible_is_refused_in_words(browser: Client) -> None:
    host = a_host()
    answer = browser.post(f"/hosts/{host.pk}/approve/", follow=True)
    assert "It does not wait for an approval." in answer.content.decode()


def test_a_host_is_retired(browser: Client) -> None:
    host = a_host(hostname="hv-01")
    page = browser.post(f"/hosts/{host.pk}/retire/", follow=True).content.decode()
    assert "hv-01 was retired" in page
    assert Host.objects.get().trust == "retired"


@pytest.mark.parametrize(("verb", "trust"), [("approve", "pending"), ("deny", "denied")])
def test_a_waiting_host_is_decided(browser: Client, verb: str, trust: str) -> None:
    host = a_host(trust="pending")
    browser.post(f"/hosts/{host.pk}/{verb}/")
    assert Host.objects.get().trust == trust


def test_probing_does_not_wait_for_the_host(browser: Client) -> None:
    host = a_host(hostname="hv-01", address="192.0.2.1")
    page = browser.post(f"/hosts/{host.pk}/probe/", follow=True).content.decode()
    assert "hv-01 is being asked" in page


def test_an_address_outside_all_ranges_is_refused_at_its_field(browser: Client) -> None:
    answer = browser.post("/hosts/add/", {"address": "192.0.2.1", "port": "16510"})
    assert answer.status_code == 422
    assert "lies in no enabled range" in answer.content.decode()
    assert not Host.objects.exists()


def test_a_network_of_a_join_key_must_be_one(browser: Client) -> None:
    answer = browser.post(
        "/join-keys/create/", {"expires_in": "3600", "approve": "auto", "cidrs": "10.0.0.300/8"}
    )
    assert answer.status_code == 422
    assert not JoinKey.objects.exists()


def test_join_json_is_in_one_answer_and_nowhere_else(browser: Client) -> None:
    answer = browser.post("/join-keys/create/", {"label": "rack 4", "expires_in": "3600", "approve": "auto"})
    page = answer.content.decode()
    found = re.search(r'<pre id="join"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found
    join = json.loads(unescape(found.group(1)))
    assert set(join) == {"version", "key_id", "secret", "ca", "expires_at"}
    assert "no-store" in answer["Cache-Control"]
    assert "/etc/virshmanager/join.json" in page
    assert join["secret"] not in text(browser, "/join-keys/")


def test_a_join_key_is_revoked(browser: Client) -> None:
    browser.post("/join-keys/create/", {"expires_in": "3600", "approve": "auto"})
    key = JoinKey.objects.get()
    assert "cannot be undone" in text(browser, f"/join-keys/{key.pk}/revoke/")
    browser.post(f"/join-keys/{key.pk}/revoke/")
    key.refresh_from_db()
    assert key.state == "revoked"


def test_hosts_are_filtered_sorted_and_searched_by_the_address(browser: Client) -> None:
    a_host(hostname="alpha", last_seen=timezone.now())
    a_host(hostname="beta", trust="denied", address="192.0.2.7")
    assert "beta" not in text(browser, "/hosts/?status=online")
    assert "alpha" not in text(browser, "/hosts/?trust=denied")
    assert "alpha" not in text(browser, "/hosts/?search=192.0.2")
    page = text(browser, "/hosts/?ordering=-hostname")
    assert page.index(">beta<") < page.index(">alpha<")
    assert 'aria-sort="descending"' in page


def test_a_copied_host_offers_the_approval_that_it_waits_for(browser: Client) -> None:
    host = a_host(problem="duplicate_identity", reason="Two machines.")
    assert f'href="/hosts/{host.pk}/approve/"' in text(browser, f"/hosts/{host.pk}/")
    assert "Is the copy reset" in text(browser, f"/hosts/{host.pk}/approve/")
    assert f'href="/hosts/{host.pk}/approve/"' not in text(browser, f"/hosts/{a_host().pk}/")
