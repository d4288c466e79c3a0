"""Why a host is believed: its page and its route of the API."""

from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from hosts import services
from hosts.choices import JoinedBy, Trust
from hosts.errors import sentence
from hosts.models import Host, HostAddress, HostCertificate

from .factories import a_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


def sign(host: Host, serial: str, days_ago: int, *, denied: bool = False) -> None:
    signed_at = timezone.now() - timedelta(days=days_ago)
    HostCertificate.objects.create(
        host=host,
        host_uuid=host.uuid,
        serial=serial,
        public_key_sha256=host.public_key_sha256,
        issued_at=signed_at,
        expires_at=signed_at + timedelta(days=30),
        denied_at=timezone.now() if denied else None,
    )


def joined(browser: Client, host: Host) -> str:
    """What its two pages say after "Joined by"."""
    shown = {
        browser.get(path).content.decode().partition("<dt>Joined by</dt><dd>")[2].partition("</dd>")[0]
        for path in (f"/hosts/{host.pk}/", f"/hosts/{host.pk}/trust/")
    }
    (text,) = shown
    return text


def test_a_host_that_never_joined(browser: Client) -> None:
    host = a_host(trust=Trust.FOUND)
    assert joined(browser, host).strip() == "\N{EN DASH}"
    assert "None was signed for it." in browser.get(f"/hosts/{host.pk}/trust/").content.decode()


def test_who_joined_by_a_key(browser: Client, django_user_model: type[User]) -> None:
    ada = django_user_model.objects.create_user("ada-of-keys")
    key, _ = services.create_join_key(label="rack-7", actor=ada)
    host = a_host(joined_by=JoinedBy.KEY, join_key=key)
    assert "Join key" in joined(browser, host)
    assert "rack-7" in joined(browser, host)
    assert "ada-of-keys" in browser.get(f"/hosts/{host.pk}/trust/").content.decode()


def test_who_was_adopted_by_a_code(browser: Client) -> None:
    an_hour_ago = timezone.now() - timedelta(hours=1)
    by_otto = {"joined_by": JoinedBy.CODE, "approved_by": "otto <b>", "approved_at": an_hour_ago}
    text = joined(browser, a_host(**by_otto))
    assert "Adopt code" in text
    assert "let in by otto &lt;b&gt;" in text
    assert "command line" in joined(browser, a_host(**by_otto | {"approved_by": ""}))


def test_the_history_of_its_certificates_and_of_no_other(browser: Client, api: APIClient) -> None:
    host = a_host(certificate_serial="c3")
    for serial, days in (("a1", 40), ("b2", 20), ("c3", 0)):
        sign(host, serial, days, denied=serial == "a1")
    sign(a_host(uuid=uuid4()), "d4", 0)
    page = browser.get(f"/hosts/{host.pk}/trust/").content.decode()
    rows = [row.partition("</tr>")[0] for row in page.split("<tr>")[2:]]
    assert [("c3" in rows[0], "In use" in rows[0]), ("b2" in rows[1], "Replaced" in rows[1])] == [
        (True,) * 2
    ] * 2
    assert "a1" in rows[2]
    assert "Denied" in rows[2]
    assert "<code>d4</code>" not in page
    told = api.get(f"/api/hosts/{host.pk}/trust/").json()
    assert [one["serial"] for one in told["certificates"]] == ["c3", "b2", "a1"]
    assert [one["denied_at"] is None for one in told["certificates"]] == [True, True, False]


def test_the_history_outlives_the_row(api: APIClient) -> None:
    host = a_host(trust=Trust.RETIRED)
    sign(host, "a1", 1)
    services.forget(host)
    found = a_host(uuid=host.uuid, trust=Trust.FOUND)
    assert [one["serial"] for one in api.get(f"/api/hosts/{found.pk}/trust/").json()["certificates"]] == [
        "a1"
    ]


def test_the_last_proofs(browser: Client, api: APIClient) -> None:
    host = a_host(last_seen=timezone.now())
    HostAddress.objects.create(host=host, ip="192.0.2.7", port=16510)
    assert "192.0.2.7:16510" in browser.get(f"/hosts/{host.pk}/trust/").content.decode()
    (proof,) = api.get(f"/api/hosts/{host.pk}/trust/").json()["proofs"]
    assert (proof["ip"], proof["port"]) == ("192.0.2.7", 16510)


def test_the_button_shows_the_hop_that_fails(browser: Client) -> None:
    host = a_host(address="192.0.2.1")
    page = browser.post(f"/hosts/{host.pk}/trust/test/").content.decode()
    assert "It fails at: Route" in page
    assert "lies in no enabled range" in page


def test_who_was_given_up_is_refused_in_words(browser: Client) -> None:
    host = a_host(trust=Trust.RETIRED)
    page = browser.post(f"/hosts/{host.pk}/trust/test/", follow=True).content.decode()
    assert sentence("retired") in unescape(page)
