"""Session fixation, and what the cookies say of themselves."""

from http.cookies import Morsel
from pathlib import Path
from typing import Any, Final

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from tests.cast import PASSWORD
from tests.virshmanager.test_settings import manage

pytestmark = [pytest.mark.attack("Session and cookies"), pytest.mark.django_db]

CREDENTIALS: Final = {"login": "ada", "password": PASSWORD}
PLANTED: Final = ["", "x", "x" * 32, "../../etc/passwd", "0" * 32, "' OR 1=1 --", "a" * 10_000, "é"]


def session_of(client: Client) -> str:
    return str(client.cookies[settings.SESSION_COOKIE_NAME].value)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda text: text[:20])
def test_an_id_that_was_planted_is_not_taken(ada: User, planted: str) -> None:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert client.get("/hosts/").status_code == 302
    client.post("/account/login/", CREDENTIALS)
    assert session_of(client) != planted
    assert client.get("/hosts/").status_code == 200


def test_an_id_from_before_the_sign_in_opens_nothing_after_it(ada: User) -> None:
    """An attacker who got an id from the server itself, and made the victim use it."""
    attacker, victim = Client(), Client()
    planted = SessionStore()
    planted["planted"] = True
    planted.create()
    for client in (attacker, victim):
        client.cookies[settings.SESSION_COOKIE_NAME] = str(planted.session_key)
    victim.post("/account/login/", CREDENTIALS)
    assert victim.get("/hosts/").status_code == 200
    assert session_of(victim) != planted.session_key
    assert attacker.get("/hosts/").status_code == 302


def test_an_id_of_before_signing_out_opens_nothing_after_it(ada: User) -> None:
    victim = Client()
    victim.post("/account/login/", CREDENTIALS)
    kept = session_of(victim)
    victim.post("/account/logout/")
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = kept
    assert thief.get("/hosts/").status_code == 302


def test_the_sign_in_of_another_user_does_not_inherit_the_session(ada: User, sam: User) -> None:
    client = Client()
    client.post("/account/login/", CREDENTIALS)
    before = session_of(client)
    client.post("/account/logout/")
    client.post("/account/login/", {"login": "sam", "password": PASSWORD})
    assert session_of(client) != before
    assert client.get("/hosts/").status_code == 403


def cookies(client: Client) -> dict[str, "Morsel[Any]"]:
    """All cookies that a sign-in and a walk through the pages leave."""
    client.get("/account/login/")
    client.post("/account/login/", CREDENTIALS)
    for path in ("/", "/hosts/", "/account/tokens/", "/api/hosts/", "/admin/", "/account/factors/"):
        client.get(path)
    return dict(client.cookies)


def test_no_cookie_can_be_read_by_a_script_or_comes_along_from_elsewhere(ada: User) -> None:
    found = cookies(Client())
    assert set(found) == {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    for cookie in found.values():
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Lax"
        assert (cookie["path"], cookie["domain"]) == ("/", "")


def test_behind_https_they_are_secure_and_bound_to_the_very_name(tmp_path: Path) -> None:
    asked = (
        "from django.conf import settings as s;"
        "print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE);"
        "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME)"
    )
    told = {"VIRSHMANAGER_URL": "https://manager.example", "VIRSHMANAGER_LISTEN": "192.0.2.1"}
    ended = manage(tmp_path, "shell", "-v0", "-c", asked, **told)
    flags, names = ended.stdout.splitlines()
    assert flags.split() == ["True"] * 2
    assert all(name.startswith("__Host-") for name in names.split())


def test_no_session_is_kept_in_the_cookie_itself(browser: Client) -> None:
    """Signed is not sealed: what a cookie holds, its owner reads."""
    assert settings.SESSION_ENGINE.endswith((".db", ".cached_db", ".cache"))
    assert session_of(browser).isalnum()
    assert len(session_of(browser)) == 32


@pytest.mark.parametrize("change", ["password", "is_active"])
def test_a_session_ends_with_what_it_was_opened_by(ada: User, browser: Client, change: str) -> None:
    assert browser.get("/hosts/").status_code == 200
    if change == "password":
        ada.set_password("another one entirely")
    else:
        ada.is_active = False
    ada.save()
    assert browser.get("/hosts/").status_code == 302
