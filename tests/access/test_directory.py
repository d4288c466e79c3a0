"""Who is let in by an LDAP directory, and as whom."""

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django.fixtures import Settings

from access.services import create_recovery_link
from tests.cast import PASSWORD
from virshmanager.environment import Directory

from .slapd import GROUPS, READER, READERS_PASSWORD, USERS, Slapd, slapd
from .test_setup import path_of

pytestmark = pytest.mark.django_db
OWN = "eve's own"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd")) as server:
        yield server


def use(settings: Settings, url: str, **more: Any) -> None:
    values: dict[str, Any] = {
        "start_tls": False,
        "authorities": "",
        "users": USERS,
        "filter": "(uid=%(user)s)",
        "groups": "",
    }
    values |= {"bind_dn": READER, "bind_password": READERS_PASSWORD}
    settings.VIRSHMANAGER_LDAP = Directory(url=url, **values | more)
    settings.AUTHENTICATION_BACKENDS = [
        "allauth.account.auth_backends.AuthenticationBackend",
        "access.directory.DirectoryBackend",
    ]


@pytest.fixture
def directory(running: Slapd, settings: Settings) -> Slapd:
    """The server asks it, by TLS."""
    use(settings, running.tls, authorities=running.authorities)
    return running


def sign_in(name: str, password: str) -> Client | None:
    """The browser of somebody who was let in."""
    client = Client(raise_request_exception=False)
    answer = client.post("/account/login/", {"login": name, "password": password})
    assert answer.status_code in {200, 302}
    return client if answer.status_code == 302 else None


@pytest.mark.parametrize("password", ["guess", "", " "])
def test_a_wrong_or_no_password_lets_nobody_in(directory: Slapd, password: str) -> None:
    assert not sign_in("eve", password)
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "name", ["*", "e*", "eve)(uid=*", "eve\\2a", "eve,dc=example", "", "e" * 200, "nobody"]
)
def test_a_name_is_never_a_filter(directory: Slapd, name: str) -> None:
    assert not sign_in(name, OWN)
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["ada", "Ada", "ａｄａ"])  # noqa: RUF001 -- that is the point
def test_the_directory_speaks_for_no_user_of_our_own(directory: Slapd, ada: User, name: str) -> None:
    assert not sign_in(name, "another ada's")
    assert sign_in("ada", PASSWORD)


def test_the_directory_is_not_even_asked_for_them(ada: User, settings: Settings, monkeypatch: Any) -> None:
    use(settings, "ldap://localhost:1")
    monkeypatch.setattr("django_auth_ldap.backend.LDAPBackend.authenticate", pytest.fail)
    assert not sign_in("ada", "guess")


def test_who_is_disabled_here_stays_out(directory: Slapd) -> None:
    browser = sign_in("eve", OWN)
    assert browser
    User.objects.update(is_active=False)
    assert browser.get("/").status_code == 302
    assert not sign_in("eve", OWN)


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_directory_with_a_strange_certificate_hears_no_password(
    running: Slapd, settings: Settings, *, start_tls: bool
) -> None:
    use(settings, running.plain if start_tls else running.tls, start_tls=start_tls)
    assert not sign_in("eve", OWN)


def test_without_the_directory_our_own_users_get_in(ada: User, settings: Settings) -> None:
    use(settings, "ldap://localhost:1")
    assert not sign_in("eve", OWN)
    assert sign_in("ada", PASSWORD)


def test_by_start_tls(running: Slapd, settings: Settings) -> None:
    use(settings, running.plain, start_tls=True, authorities=running.authorities)
    assert sign_in("eve", OWN)


def test_who_comes_first_has_no_rights_and_no_password_here(directory: Slapd) -> None:
    browser = sign_in("eve", OWN)
    assert browser
    user = User.objects.get()
    assert (user.username, user.is_staff, user.is_superuser) == ("eve", False, False)
    assert not user.has_usable_password()
    assert browser.get("/account/password/change/").status_code == 404
    assert b"Change password" not in browser.get("/account/factors/").content


@pytest.mark.parametrize("name", ["eve", "EVE", " eve "])
def test_who_comes_again_is_the_same(directory: Slapd, name: str) -> None:
    sign_in("eve", OWN)
    assert sign_in(name, OWN)
    assert User.objects.get().username == "eve"


def test_a_second_factor_is_asked_for_as_of_all_others(directory: Slapd) -> None:
    sign_in("eve", OWN)
    TOTP.activate(User.objects.get(), generate_totp_secret())
    browser = sign_in("eve", OWN)
    assert browser
    assert browser.get("/account/factors/").status_code == 302


def test_who_it_is_proves_by_the_password_of_the_directory(directory: Slapd) -> None:
    browser = sign_in("eve", OWN)
    assert browser
    address = "/account/reauthenticate/?next=/account/tokens/"
    assert browser.post(address, {"password": "guess"}).status_code == 200
    assert browser.post(address, {"password": OWN}).headers["Location"] == "/account/tokens/"


def test_who_is_recovered_gets_in_while_the_directory_is_gone_and_later_by_both(
    directory: Slapd, running: Slapd, settings: Settings
) -> None:
    assert sign_in("eve", OWN)
    use(settings, "ldap://localhost:1")
    assert not sign_in("eve", OWN)
    browser = Client()
    form = browser.get(path_of(create_recovery_link("eve")))["Location"]
    browser.post(form, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert sign_in("eve", PASSWORD)
    use(settings, running.tls, authorities=running.authorities)
    assert sign_in("eve", OWN)
    assert sign_in("eve", PASSWORD)


def test_a_password_given_to_one_of_the_directory_is_taken_back_in_the_admin(
    directory: Slapd, browser: Client
) -> None:
    sign_in("eve", OWN)
    eve = User.objects.get(username="eve")
    eve.set_password(PASSWORD)
    eve.save()
    assert sign_in("eve", PASSWORD)
    disable = {"usable_password": "false", "unset-password": "1"}
    assert browser.post(f"/admin/auth/user/{eve.pk}/password/", disable).status_code == 302
    assert not sign_in("eve", PASSWORD)
    assert sign_in("eve", OWN)


def test_groups_are_those_of_the_directory(running: Slapd, settings: Settings) -> None:
    use(settings, running.tls, authorities=running.authorities, groups=GROUPS)
    sign_in("eve", OWN)
    user = User.objects.get()
    assert [group.name for group in user.groups.all()] == ["lab"]
    user.groups.add(Group.objects.create(name="left meanwhile"))
    sign_in("eve", OWN)
    assert [group.name for group in user.groups.all()] == ["lab"]
