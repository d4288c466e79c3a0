"""One's own sessions: seen by him alone, and ended at once."""

from importlib import import_module

import pytest
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client

from access.logins import Login
from access.models import AuditEntry
from access.services import create_setup_link
from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db

PATH = "/account/sessions/"


def signed_in(name: str, agent: str = "") -> Client:
    client = Client(headers={"User-Agent": agent})
    client.post("/account/login/", {"login": name, "password": PASSWORD})
    return client


def key_of(client: Client) -> str:
    return str(client.session.session_key)


def test_a_stranger_sees_none(stranger: Client) -> None:
    assert stranger.get(PATH).status_code == stranger.post(PATH).status_code == 302


def test_those_of_others_are_neither_shown_nor_ended(ada: User, sam: User) -> None:
    of_ada, of_sam = signed_in("ada", "Of Ada/1.0"), signed_in("sam", "Of Sam/1.0")
    page = of_sam.get(PATH).content.decode()
    assert "Of Sam/1.0" in page
    assert "Of Ada/1.0" not in page
    of_sam.post(PATH)
    assert Login(session=key_of(of_ada)).user() == ada


def test_all_but_the_one_in_use_end_at_once(ada: User) -> None:
    here, there, elsewhere = signed_in("ada"), signed_in("ada"), signed_in("ada")
    keys = [key_of(client) for client in (there, elsewhere)]
    assert here.post(PATH)["Location"] == PATH
    assert here.get("/").status_code == 200
    assert [client.get("/").status_code for client in (there, elsewhere)] == [302, 302]
    # What an open page or console asks every two seconds.
    assert [Login(session=key).user() for key in keys] == [None, None]
    entry = AuditEntry.objects.get(action="sessions.end")
    assert (entry.actor_name, entry.target_name, entry.detail) == ("ada", "ada", {"sessions": 2})


def test_an_upgrade_ends_those_that_are_on_no_list(ada: User) -> None:
    listed, unlisted = signed_in("ada"), signed_in("ada")
    UserSession.objects.filter(session_key=key_of(unlisted)).delete()
    import_module("access.migrations.0007_end_unlisted_sessions").end_unlisted(apps, None)
    assert (unlisted.get("/").status_code, listed.get("/").status_code) == (302, 200)


def test_what_a_browser_calls_itself_is_shown_as_text_and_cut(ada: User) -> None:
    client = signed_in("ada", "<script>alert(1)</script>" + "x" * 10_000)
    page = client.get(PATH).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert len(UserSession.objects.get().user_agent) <= 200


def test_no_page_shows_the_key_of_a_session(ada: User) -> None:
    client, other = signed_in("ada"), signed_in("ada")
    page = client.get(PATH).content.decode()
    assert key_of(client) not in page
    assert key_of(other) not in page
    assert client.get("/admin/usersessions/usersession/").status_code == 404


def test_a_new_password_ends_the_other_sessions(ada: User) -> None:
    here, there = signed_in("ada"), signed_in("ada")
    new = "another battery staple"
    here.post("/account/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 302)
    assert len(here.get(PATH).context["sessions"]) == 1


def test_the_session_in_which_the_first_administrator_was_made_is_one_of_them(stranger: Client) -> None:
    address = create_setup_link()
    stranger.post(address, {"username": "ada", "password1": PASSWORD, "password2": PASSWORD})
    assert [session.session_key for session in stranger.get(PATH).context["sessions"]] == [key_of(stranger)]
    signed_in("ada").post(PATH)
    assert stranger.get("/").status_code == 302
