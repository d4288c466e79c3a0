"""An administrator who is locked out, and who may use the server's command line."""

from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from access.models import AuditEntry, DirectoryUser
from access.services import create_recovery_link
from tests.access.test_setup import path_of, printed
from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db

NEW = "stapler of another horse"
FORM = {"new_password1": NEW, "new_password2": NEW}


def opened(client: Client, link: str) -> str | None:
    """Follow a link; return where the form is, or None if there is nothing."""
    answer = client.get(path_of(link))
    return answer["Location"] if answer.status_code == 302 else None


def unchanged(user: User) -> bool:
    user.refresh_from_db()
    return user.check_password(PASSWORD) and Authenticator.objects.filter(user=user).exists()


@pytest.fixture
def locked_out(ada: User) -> User:
    """Ada, whose phone is gone."""
    TOTP.activate(ada, generate_totp_secret())
    return ada


@pytest.mark.parametrize("name", ["nobody", "", "gone"])
def test_the_command_knows_only_active_users(name: str, db: None) -> None:
    User.objects.create_user("gone", is_active=False)
    with pytest.raises(CommandError, match="No active user"):
        call_command("recover", name)


@pytest.mark.parametrize("change", ["", "x", "-x"])
def test_a_wrong_link_is_404(locked_out: User, stranger: Client, change: str) -> None:
    who, token = create_recovery_link("ada").rstrip("/").rsplit("/", 2)[1:]
    for wrong in (f"{who}/{token[:-1]}{change}", f"{who}/set-password", f"x/{token}", f"%00/{token}"):
        assert stranger.get(f"/account/recover/{wrong}/").status_code == 404
        assert stranger.post(f"/account/recover/{wrong}/", FORM).status_code == 404
    assert unchanged(locked_out)


def test_the_link_of_another_user_is_404(locked_out: User, sam: User, stranger: Client) -> None:
    (who, _), (_, token) = (
        create_recovery_link(name).rstrip("/").rsplit("/", 2)[1:] for name in ("ada", "sam")
    )
    assert stranger.get(f"/account/recover/{who}/{token}/").status_code == 404


def test_an_old_link_is_404_and_so_is_its_form(locked_out: User, stranger: Client) -> None:
    link = create_recovery_link("ada")
    form = opened(stranger, link)
    assert form
    with time_machine.travel(timezone.now() + timedelta(minutes=10, seconds=5)):
        assert opened(Client(), link) is None
        assert stranger.post(form, FORM).status_code == 404
    assert unchanged(locked_out)


def test_a_link_ends_when_its_user_is_disabled_or_signs_in(ada: User, stranger: Client) -> None:
    link = create_recovery_link("ada")
    assert Client().post("/account/login/", {"login": "ada", "password": PASSWORD}).status_code == 302
    assert opened(stranger, link) is None
    link = create_recovery_link("ada")
    User.objects.update(is_active=False)
    assert opened(stranger, link) is None


def test_a_weak_password_is_refused(locked_out: User, stranger: Client) -> None:
    form = opened(stranger, create_recovery_link("ada"))
    assert form
    assert stranger.post(form, {"new_password1": "12345", "new_password2": "12345"}).status_code == 200
    assert unchanged(locked_out)


@pytest.mark.parametrize("by", ["directory", "provider"])
def test_who_signs_in_elsewhere_is_given_a_password_here_and_that_is_said(
    ada: User, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    eve = User.objects.create_user("eve")
    if by == "directory":
        DirectoryUser.objects.create(user=eve)
    else:
        SocialAccount.objects.create(user=eve, provider="oidc", uid="1")
    call_command("recover", "ada")
    assert capsys.readouterr().err == ""
    call_command("recover", "eve")
    told = capsys.readouterr()
    assert "/account/recover/" in told.out
    assert "eve signs in by a directory or a provider" in told.err


def test_it_works_once(
    locked_out: User, browser: Client, stranger: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    link = printed(capsys, "recover", "ada")
    form = opened(stranger, link)
    assert form
    assert "set-password" in form
    assert stranger.get(form).status_code == 200
    assert unchanged(locked_out)
    assert stranger.post(form, FORM)["Location"] == "/"
    assert stranger.get("/").status_code == 200
    assert not Authenticator.objects.exists()
    assert browser.get("/").status_code == 302  # signed out elsewhere
    assert opened(Client(), link) is None
    assert stranger.post(form, FORM).status_code == 404
    assert Client().post("/account/login/", {"login": "ada", "password": NEW})["Location"] == "/"
    # It was a proof: what needs one is not asked for again.
    token = {"name": "ci", "scope": "read", "expires_in": "90"}
    assert stranger.post("/account/tokens/create/", token).status_code == 200
    told = set(AuditEntry.objects.values_list("action", flat=True))
    assert told >= {"recovery_link.create", "password.change", "factor.remove", "login"}
