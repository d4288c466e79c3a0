"""The first administrator, from the command line to the page."""

from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from access.errors import SetupClosed
from access.models import SetupLink
from access.services import create_first_administrator, create_setup_link
from tests.cast import PASSWORD
from tests.threads import together

pytestmark = pytest.mark.django_db

FORM = {"username": "ada", "password1": PASSWORD, "password2": PASSWORD}


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    call_command(*command)
    return capsys.readouterr().out.strip()


def path_of(link: str) -> str:
    return "/" + link.split("/", 3)[3]


def test_with_a_user_there_is_no_link(ada: User) -> None:
    with pytest.raises(CommandError, match="user already"):
        call_command("setup_link")


@pytest.mark.parametrize("secret", ["x", "%00", "a" * 500])
def test_a_wrong_link_is_404(stranger: Client, secret: str) -> None:
    create_setup_link()
    assert stranger.get(f"/account/setup/{secret}/").status_code == 404
    assert stranger.post(f"/account/setup/{secret}/", FORM).status_code == 404
    assert not User.objects.exists()


def test_an_old_link_is_404(stranger: Client) -> None:
    path = path_of(create_setup_link())
    SetupLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert stranger.post(path, FORM).status_code == 404
    assert not User.objects.exists()


def test_a_newer_link_ends_the_older(stranger: Client) -> None:
    older, newer = path_of(create_setup_link()), path_of(create_setup_link())
    assert stranger.get(older).status_code == 404
    assert stranger.get(newer).status_code == 200


def test_a_link_ends_when_a_user_comes_otherwise(stranger: Client) -> None:
    path = path_of(create_setup_link())
    User.objects.create_superuser("other", password=PASSWORD)
    assert stranger.get(path).status_code == 404
    assert stranger.post(path, FORM).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"password2": "other"},
        {"password1": "12345", "password2": "12345"},
        {"username": ""},
        {"username": "a b"},
    ],
)
def test_a_bad_form_is_shown_again_and_the_link_stays(stranger: Client, wrong: dict[str, str]) -> None:
    path = path_of(create_setup_link())
    assert stranger.post(path, FORM | wrong).status_code == 200
    assert not User.objects.exists()
    assert stranger.get(path).status_code == 200


def test_the_secret_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    secret = printed(capsys, "setup_link").rstrip("/").rsplit("/", 1)[1]
    assert secret not in str(SetupLink.objects.values().get())


def test_the_link_makes_one_administrator_and_logs_him_in(
    stranger: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    link = printed(capsys, "setup_link")
    assert link.startswith("http://127.0.0.1:8000/account/setup/")
    answer = stranger.post(path_of(link), FORM)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    user = User.objects.get()
    assert (user.username, user.is_superuser, user.is_staff) == ("ada", True, True)
    assert stranger.get("/").status_code == 200
    assert Client().post(path_of(link), FORM | {"username": "eve"}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_wins() -> None:
    secret = create_setup_link().rstrip("/").rsplit("/", 1)[1]
    outcomes: list[str] = []

    def post(name: str) -> None:
        try:
            create_first_administrator(secret=secret, username=name, password=PASSWORD)
            outcomes.append("made")
        except SetupClosed:
            outcomes.append("closed")

    together(partial(post, "ada"), partial(post, "eve"))
    assert sorted(outcomes) == ["closed", "made"]
    assert User.objects.count() == 1


def test_automation_needs_a_password(settings: Settings) -> None:
    settings.VIRSHMANAGER_ADMIN_PASSWORD = ""
    with pytest.raises(CommandError, match="not set"):
        call_command("ensure_admin")


def test_automation_makes_admin_once_and_prints_no_password(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.VIRSHMANAGER_ADMIN_PASSWORD = PASSWORD
    said = printed(capsys, "ensure_admin")
    user = User.objects.get(username="admin")
    assert user.is_superuser
    assert user.check_password(PASSWORD)
    user.set_password("changed by a person")
    user.save()
    said += printed(capsys, "ensure_admin")
    assert User.objects.get().check_password("changed by a person")
    assert PASSWORD not in said
