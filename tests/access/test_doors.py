"""Who gets in, and who does not."""

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, get_resolver, include, path
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from access.checks import OPEN_TO_STRANGERS, every_route_is_closed_or_declared_open, routes
from access.middleware import OPEN_TO_EVERY_USER
from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db

EXAMPLES = {"int": "1", "uuid": "00000000-0000-8000-8000-000000000000", "str": "x", "path": "x", "slug": "x"}


def addresses() -> Iterator[tuple[str, str]]:
    """An example address of every route, from the URLconf itself."""
    for name, pattern, _ in routes(get_resolver()):
        text = re.sub(r"\(\?P<\w+>[^()]*\)", "hosts", pattern)
        text = re.sub(r"<(?:(\w+):)?\w+>", lambda found: EXAMPLES[found[1] or "str"], text)
        yield name, "/" + re.sub(r"[\^$\\]|\?\Z", "", text)


@pytest.mark.parametrize(
    ("name", "address"), [pair for pair in addresses() if pair[0] not in OPEN_TO_STRANGERS]
)
def test_a_stranger_meets_a_closed_door(stranger: Client, name: str, address: str) -> None:
    for answer in (stranger.get(address), stranger.post(address), stranger.delete(address)):
        assert_closed(answer, name, address)


def assert_closed(answer: HttpResponseBase, name: str, address: str) -> None:
    if address.startswith("/api/") or name == "metrics":
        assert answer.status_code == 401, address
        assert answer["WWW-Authenticate"] == "Token"
        assert b'"type":"not_authenticated"' in getattr(answer, "content")  # noqa: B009 -- the client's type hides it
    else:
        assert answer.status_code == 302, address
        # The admin's own login leads to the same page.
        assert answer["Location"].startswith(("/account/login/?next=", "/admin/login/?next="))


@pytest.mark.parametrize(
    ("name", "address"), [pair for pair in addresses() if pair[0] not in OPEN_TO_STRANGERS]
)
def test_an_account_without_rights_opens_no_door(
    sam: User, stranger: Client, name: str, address: str
) -> None:
    stranger.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
    if name not in OPEN_TO_EVERY_USER:
        assert stranger.get(address).status_code == 403, address


def test_a_fragment_sends_the_whole_page_to_the_login(stranger: Client) -> None:
    answer = stranger.get("/", headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == "/account/login/"
    assert not answer.content


@pytest.mark.parametrize(
    "token", ["", "Token", "Token x", "Token a b", "Token \xff", "Basic YWRhOng=", "Bearer x"]
)
def test_a_bad_token_is_refused(stranger: Client, token: str) -> None:
    answer = stranger.get("/api/hosts/", headers={"Authorization": token})
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"


def test_a_session_of_the_api_needs_the_csrf_token(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/api/tokens/").status_code == 200
    answer = client.post("/api/tokens/", {"name": "x"}, content_type="application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, "permission_denied")


def test_a_route_without_a_declared_permission_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Open(APIView):
        permission_classes = [AllowAny]

    class Undeclared(APIView):
        permission_classes = []

    for view in (Open, Undeclared):
        added: URLPattern = path("leak/", view.as_view(), name="leak")
        monkeypatch.setattr("virshmanager.urls.urlpatterns", [added])
        resolver = get_resolver("virshmanager.urls")
        monkeypatch.setattr("access.checks.get_resolver", lambda found=resolver: found)
        monkeypatch.setitem(resolver.__dict__, "url_patterns", [path("in/", include([added]))])
        (error,) = every_route_is_closed_or_declared_open()
        assert "'in/leak/'" in error.msg


def test_the_admin_has_no_login_of_its_own(stranger: Client) -> None:
    answer = stranger.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"] == "/account/login/?next=/admin/"


@pytest.mark.parametrize("address", ["/account/signup/", "/account/email/", "/account/password/reset/"])
def test_nobody_signs_up(stranger: Client, browser: Client, address: str) -> None:
    assert stranger.get(address).status_code == 404
    assert browser.get(address).status_code == 404


def test_a_wrong_password_is_refused_and_the_right_one_lets_in(ada: User, stranger: Client) -> None:
    wrong = stranger.post("/account/login/", {"login": "ada", "password": "guess"})
    assert wrong.status_code == 200
    assert stranger.get("/").status_code == 302
    right = stranger.post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert (right.status_code, right["Location"]) == (302, "/")
    assert stranger.get("/").status_code == 200


def test_guessing_passwords_is_slowed_down(ada: User, stranger: Client) -> None:
    for _ in range(6):
        stranger.post("/account/login/", {"login": "ada", "password": "guess"})
    answer = stranger.post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert answer.status_code in {200, 429}
    assert stranger.get("/").status_code == 302


def test_logging_out_needs_a_post(browser: Client) -> None:
    browser.get("/account/logout/")
    assert browser.get("/").status_code == 200
    browser.post("/account/logout/")
    assert browser.get("/").status_code == 302
