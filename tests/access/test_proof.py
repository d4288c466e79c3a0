"""What is asked of a person again before something is done that cannot be taken back."""

from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import ApiToken
from access.services import create_setup_link
from domains.models import Domain
from hosts.choices import Trust
from hosts.models import Host, Operation
from tests.cast import PASSWORD, proven
from tests.domains import factories

pytestmark = pytest.mark.django_db

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
TOKEN = {"name": "ci", "scope": "read", "expires_in": "90"}


@pytest.fixture
def stale(ada: User) -> Client:
    """Ada's browser, which was left alone: it is logged in, and proved nothing for long."""
    client = Client(raise_request_exception=False)
    client.force_login(ada, backend=BACKEND)
    return client


@pytest.fixture
def domain(db: None) -> Domain:
    return factories.domain()


class Deed(NamedTuple):
    """What is posted to a page, and where that page asks first."""

    address: str
    body: dict[str, Any]
    question: str


DEEDS = ("retire", "undefine", "undefine many", "create a token")
QUESTIONS = DEEDS[:-1]  # the form of a new token is no question, but a page to look at


def deed_on(domain: Domain, name: str) -> Deed:
    many = {"verb": "undefine", "ids": domain.pk}
    one = f"/domains/{domain.pk}/verbs/undefine/"
    retire = f"/hosts/{domain.host_id}/retire/"
    return {
        "retire": Deed(retire, {}, retire),
        "undefine": Deed(one, {}, one),
        "undefine many": Deed(
            "/domains/bulk/", many | {"order": "given", "stagger": 0}, f"/domains/bulk/?{urlencode(many)}"
        ),
        "create a token": Deed("/account/tokens/create/", TOKEN, "/account/tokens/"),
    }[name]


def of_the_api(domain: Domain, name: str) -> tuple[str, dict[str, Any]]:
    many = {"verb": "undefine", "selector": {"ids": [domain.pk]}}
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "retire": (f"/api/hosts/{domain.host_id}/retire/", {}),
        "undefine": (f"/api/domains/{domain.pk}/undefine/", {}),
        "undefine many": ("/api/domains/bulk/", many),
        "create a token": ("/api/tokens/", {"name": "ci"}),
    }
    return asked[name]


def way_to(question: str) -> str:
    return f"/account/reauthenticate/?{urlencode({'next': question})}"


def nothing_was_done() -> bool:
    return not (
        Operation.objects.exists()
        or ApiToken.objects.filter(name="ci").exists()
        or Host.objects.exclude(trust=Trust.OWNED).exists()
    )


@pytest.mark.parametrize("name", DEEDS)
def test_a_page_leads_to_the_proof_and_back_to_the_question(stale: Client, domain: Domain, name: str) -> None:
    deed = deed_on(domain, name)
    answer = stale.post(deed.address, deed.body)
    assert (answer.status_code, answer["Location"]) == (302, way_to(deed.question))
    assert "Nothing has been done yet" in stale.get(answer["Location"]).content.decode()
    proof = stale.post(answer["Location"], {"password": PASSWORD, "next": deed.question})
    assert proof["Location"] == deed.question
    assert stale.get(deed.question).status_code == 200
    assert nothing_was_done()
    assert stale.post(deed.address, deed.body).status_code in {200, 302}
    assert not nothing_was_done()


@pytest.mark.parametrize("name", DEEDS)
def test_a_fragment_sends_the_whole_page_there(stale: Client, domain: Domain, name: str) -> None:
    deed = deed_on(domain, name)
    answer = stale.post(deed.address, deed.body, headers={"HX-Request": "true"})
    assert (answer["HX-Redirect"], answer.content) == (way_to(deed.question), b"")
    assert nothing_was_done()


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_proof_comes_before_the_question(stale: Client, domain: Domain, name: str) -> None:
    question = deed_on(domain, name).question
    assert stale.get(question)["Location"] == way_to(question)


def test_a_wrong_password_proves_nothing(stale: Client, domain: Domain) -> None:
    answer = stale.post("/account/reauthenticate/", {"password": "guess", "next": "/"})
    assert answer.status_code == 200
    stale.post(f"/hosts/{domain.host_id}/retire/")
    assert nothing_was_done()


@pytest.mark.parametrize("name", DEEDS)
def test_a_session_of_the_api_is_asked_too(stale: Client, domain: Domain, name: str) -> None:
    address, body = of_the_api(domain, name)
    answer = stale.post(address, body, content_type="application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, "reauthentication_required")
    assert "/account/reauthenticate/" in answer.json()["detail"]
    assert nothing_was_done()


@pytest.mark.parametrize("name", DEEDS)
def test_a_fresh_proof_lets_a_session_and_a_token_needs_none(
    browser: Client, api: APIClient, domain: Domain, name: str
) -> None:
    address, body = of_the_api(domain, name)
    other, other_body = of_the_api(factories.domain(), name)
    assert browser.post(address, body, content_type="application/json").status_code in {200, 201, 202}
    assert api.post(other, other_body, format="json").status_code in {200, 201, 202}


@pytest.mark.parametrize("page", ["user/", "user/add/", "user/{}/change/", "user/{}/password/", "group/add/"])
def test_the_admin_asks_where_rights_are_given(stale: Client, sam: User, page: str) -> None:
    address = f"/admin/auth/{page.format(sam.pk)}"
    form = {"username": "sam", "is_superuser": "on", "name": "new", "password1": "x", "password2": "x"}
    for answer in (stale.get(address), stale.post(address, form)):
        assert (answer.status_code, answer["Location"]) == (302, way_to(address))
    sam.refresh_from_db()
    assert not sam.is_superuser
    assert sam.check_password(PASSWORD)
    assert stale.get("/admin/").status_code == 200


def test_what_gives_the_rights_of_a_group_is_asked_for(stale: Client, sam: User) -> None:
    team = Group.objects.create(name="team")
    rename, put = f"/groups/{team.pk}/rename/", f"/users/{sam.pk}/groups/"
    assert stale.get(rename)["Location"] == way_to(rename)
    assert stale.post(rename, {"name": "admins"})["Location"] == way_to(rename)
    assert stale.post(put, {"groups": [team.pk]})["Location"] == way_to(f"/users/{sam.pk}/")
    for address, body in (
        (f"/api/groups/{team.pk}/", {"name": "admins"}),
        (f"/api/users/{sam.pk}/", {"groups": [team.pk], "active": False}),
    ):
        answer = stale.patch(address, body, content_type="application/json")
        assert (answer.status_code, answer.json()["type"]) == (403, "reauthentication_required")
    team.refresh_from_db()
    sam.refresh_from_db()
    assert (team.name, sam.groups.count(), sam.is_active) == ("team", 0, True)


def test_letting_a_user_in_again_is_asked_for_and_shutting_him_out_is_not(stale: Client, sam: User) -> None:
    page, api = f"/users/{sam.pk}/active/", f"/api/users/{sam.pk}/"
    for_page, for_api = {"active": "false"}, {"active": False}
    assert stale.post(page, for_page)["Location"] == f"/users/{sam.pk}/"
    assert stale.patch(api, for_api, content_type="application/json").status_code == 200
    assert stale.post(page, {"active": "true"})["Location"] == way_to(f"/users/{sam.pk}/")
    answer = stale.patch(api, {"active": True}, content_type="application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, "reauthentication_required")
    sam.refresh_from_db()
    assert not sam.is_active


def test_the_admin_asks_before_a_host_is_retired(stale: Client, browser: Client, domain: Domain) -> None:
    hosts, retire = "/admin/hosts/host/", {"action": "retire", "_selected_action": domain.host_id}
    answer = stale.post(hosts, retire)
    assert (answer.status_code, answer["Location"]) == (302, way_to(hosts))
    assert nothing_was_done()
    browser.post(hosts, retire)
    assert not nothing_was_done()


def test_what_can_be_taken_back_is_not_asked_for(stale: Client, domain: Domain) -> None:
    assert stale.post(f"/api/domains/{domain.pk}/start/").status_code == 202
    assert stale.get(f"/domains/{domain.pk}/verbs/start/").status_code == 200
    assert stale.get(f"/domains/bulk/?verb=start&ids={domain.pk}").status_code == 200
    assert stale.get("/account/tokens/").status_code == 200


def test_a_proof_gets_old(browser: Client, domain: Domain) -> None:
    question = f"/hosts/{domain.host_id}/retire/"
    now = timezone.now().timestamp()
    with time_machine.travel(now + 590, tick=False):
        assert browser.get(question).status_code == 200
    with time_machine.travel(now + 601, tick=False):
        assert browser.get(question).status_code == 302


def test_the_proof_of_another_user_is_none(stale: Client, sam: User, domain: Domain) -> None:
    proven(stale, sam)
    stale.post(f"/hosts/{domain.host_id}/retire/")
    assert nothing_was_done()


def test_signing_in_is_a_proof(ada: User, domain: Domain) -> None:
    client = Client()
    client.post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert client.get(f"/hosts/{domain.host_id}/retire/").status_code == 200


def test_who_has_just_chosen_a_password_is_not_asked_for_it(db: None) -> None:
    client = Client()
    address = create_setup_link().partition("8000")[2]
    client.post(address, {"username": "ada", "password1": PASSWORD, "password2": PASSWORD})
    assert client.post("/account/tokens/create/", TOKEN).status_code == 200
