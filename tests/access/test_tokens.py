"""API tokens: shown once, kept as digests, ended when they should."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import ApiToken
from access.services import create_token

pytestmark = pytest.mark.django_db


def program(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"name": ""},
        {"name": "x" * 101},
        {"name": "x", "expires_in": 0},
        {"name": "x", "expires_in": "soon"},
        {"name": "x", "expires_in": None},
        {"name": "x", "expires_in": 11 * 365 * 86400},
        {"name": "x", "scope": "all"},
        {"name": "x", "scope": None},
    ],
)
def test_what_cannot_be_a_token_is_400(api: APIClient, wrong: dict[str, object]) -> None:
    answer = api.post("/api/tokens/", wrong, format="json")
    assert answer.status_code == 400
    assert set(answer.json()["errors"]) <= {"name", "expires_in", "scope"}


def test_tokens_of_others_are_not_there(api: APIClient) -> None:
    other = User.objects.create_superuser("otto")
    token, _ = create_token(user=other, name="his")
    assert api.get(f"/api/tokens/{token.pk}/").status_code == 404
    assert api.delete(f"/api/tokens/{token.pk}/").status_code == 404
    assert [row["name"] for row in api.get("/api/tokens/").json()["results"]] == ["tests"]


def test_an_expired_token_opens_nothing(ada: User) -> None:
    _, text = create_token(user=ada, name="short", expires_in=timedelta(minutes=5))
    assert program(text).get("/api/summary/").status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert program(text).get("/api/summary/").status_code == 401


def test_an_expired_token_is_listed_as_that(api: APIClient, browser: Client, ada: User) -> None:
    token, _ = create_token(user=ada, name="short", expires_in=timedelta(minutes=5))
    assert api.get(f"/api/tokens/{token.pk}/").json()["expired"] is False
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert api.get(f"/api/tokens/{token.pk}/").json()["expired"] is True
        assert "Expired" in browser.get("/account/tokens/").content.decode()
        assert api.delete(f"/api/tokens/{token.pk}/").status_code == 204


def test_a_token_that_asks_for_nothing_reads_for_90_days(api: APIClient) -> None:
    made = api.post("/api/tokens/", {"name": "plain"}, format="json").json()
    assert made["scope"] == "read"
    token = ApiToken.objects.get(pk=made["id"])
    assert token.expiry - token.created == pytest.approx(timedelta(days=90), abs=timedelta(minutes=1))


@pytest.mark.parametrize("wrong", [{"scope": "all"}, {"expires_in": "0"}, {"expires_in": "9999"}])
def test_the_page_makes_no_other_token(browser: Client, wrong: dict[str, str]) -> None:
    asked = {"name": "ci", "scope": "operate", "expires_in": "90"}
    assert browser.post("/account/tokens/create/", asked | wrong).status_code == 422
    assert not ApiToken.objects.exists()
    assert browser.post("/account/tokens/create/", asked).status_code == 200
    assert ApiToken.objects.get().scope == "operate"


def test_a_deleted_token_opens_nothing(api: APIClient, ada: User) -> None:
    token, text = create_token(user=ada, name="short")
    assert api.delete(f"/api/tokens/{token.pk}/").status_code == 204
    assert program(text).get("/api/summary/").status_code == 401


def test_a_token_of_a_user_who_left_opens_nothing(ada: User) -> None:
    _, text = create_token(user=ada, name="x")
    User.objects.update(is_active=False)
    assert program(text).get("/api/summary/").status_code == 401


def test_a_token_of_a_user_without_rights_opens_nothing(sam: User) -> None:
    _, text = create_token(user=sam, name="x")
    answer = program(text).get("/api/summary/")
    assert (answer.status_code, answer.json()["type"]) == (403, "permission_denied")


def test_the_text_is_shown_once_and_not_kept(api: APIClient) -> None:
    answer = api.post("/api/tokens/", {"name": "ci", "expires_in": 3600, "unknown": 1}, format="json")
    assert answer.status_code == 201
    made = answer.json()
    about = {"id", "name", "scope", "created_at", "expires_at", "expired", "last_used_at"}
    assert set(made) == about | {"token"}
    assert made["last_used_at"] is None
    assert program(made["token"]).get("/api/summary/").status_code == 200
    shown = api.get(f"/api/tokens/{made['id']}/").json()
    assert "token" not in shown
    assert shown["last_used_at"] is not None
    assert made["token"] not in str(list(ApiToken.objects.values()))


def test_tokens_are_searched_by_name(api: APIClient, ada: User) -> None:
    create_token(user=ada, name="Backup of rack 4")
    found = api.get("/api/tokens/?search=RACK+backup").json()["results"]
    assert [row["name"] for row in found] == ["Backup of rack 4"]


def test_the_last_use_is_noted_once_a_minute(ada: User) -> None:
    token, text = create_token(user=ada, name="x")
    client = program(text)
    client.get("/api/crawls/")
    first = ApiToken.objects.get(pk=token.pk).last_used_at
    client.get("/api/crawls/")
    assert ApiToken.objects.get(pk=token.pk).last_used_at == first
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        client.get("/api/crawls/")
    assert ApiToken.objects.get(pk=token.pk).last_used_at > first


def test_the_command_prints_the_token_alone(ada: User, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("api_token", "ada")
    out = capsys.readouterr().out
    assert out == out.strip() + "\n"
    assert program(out.strip()).get("/api/summary/").status_code == 200


def test_the_command_makes_what_it_is_told_to(ada: User) -> None:
    call_command("api_token", "ada", "--scope", "operate", "--days", "7")
    token = ApiToken.objects.get()
    assert token.scope == "operate"
    assert token.expiry - token.created == pytest.approx(timedelta(days=7), abs=timedelta(minutes=1))
    for wrong in (["--scope", "all"], ["--days", "0"], ["--days", "4000"], ["--days", "soon"]):
        with pytest.raises(CommandError, match="argument"):
            call_command("api_token", "ada", *wrong)


@pytest.mark.parametrize("name", ["nobody", "", "gone"])
def test_the_command_knows_only_active_users(name: str, db: None) -> None:
    User.objects.create_user("gone", is_active=False)
    with pytest.raises(CommandError, match="No active user"):
        call_command("api_token", name)
