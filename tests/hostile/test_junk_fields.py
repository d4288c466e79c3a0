"""Authentication bypass: nothing that a request says of itself makes its sender somebody else."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from access.models import ApiToken
from hosts.models import Host, JoinKey, Operation
from tests.cast import PASSWORD
from tests.domains.factories import domain, owned_host

pytestmark = [pytest.mark.attack("Authentication bypass"), pytest.mark.django_db]

BACKEND: Final = "allauth.account.auth_backends.AuthenticationBackend"
DOORS: Final = [
    "/",
    "/hosts/",
    "/api/hosts/",
    "/api/tokens/",
    "/admin/auth/user/",
    "/metrics",
    "/api/schema/",
]
CLOSED: Final = frozenset({301, 302, 400, 401, 403, 404, 405})

# What some proxy or framework believes to be the sender, or where he really wants to go.
HEADERS: Final[dict[str, str]] = {
    "Remote-User": "ada",
    "X-Remote-User": "ada",
    "X-Forwarded-User": "ada",
    "X-Forwarded-Email": "ada@example.org",
    "X-Auth-Request-User": "ada",
    "X-Authenticated-User": "ada",
    "X-WebAuth-User": "ada",
    "X-User": "1",
    "X-Api-Key": "ada",
    "X-Original-URL": "/healthz",
    "X-Rewrite-URL": "/healthz",
    "X-HTTP-Method-Override": "OPTIONS",
    "X-Forwarded-For": "127.0.0.1",
    "X-Real-IP": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;proto=https",
    "X-Forwarded-Proto": "https",
    "X-Client-Cert": "CN=ada",
    "SSL-Client-Verify": "SUCCESS",
    "Authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2UgYmF0dGVyeSBzdGFwbGU=",
    "Proxy-Authorization": "Basic YWRhOg==",
    "Cookie": "sessionid=1; user=ada; is_superuser=1; admin=true",
    "HX-Request": "true",
    "Sec-Fetch-Site": "same-origin",
    "User-Agent": "kube-probe/1.30",
}
AUTHORIZATIONS: Final = [
    "Token",
    "Token ",
    "Token null",
    "Token undefined",
    "Token *",
    "Token %",
    "Token ' OR 1=1 --",
    "Token " + "0" * 8,
    "Token " + "0" * 64,
    "Token " + "a" * 10_000,
    "Token \x00",
    "Bearer eyJhbGciOiJub25lIn0.eyJ1c2VyIjoiYWRhIn0.",
    "Digest username=ada",
    "Negotiate x",
]
PATHS: Final = [
    "/healthz/../api/hosts/",
    "/healthz/..;/api/hosts/",
    "/healthz/%2e%2e/api/hosts/",
    "/healthz;/api/hosts/",
    "//api/hosts/",
    "/api//hosts/",
    "/./api/hosts/",
    "/API/HOSTS/",
    "/%61pi/hosts/",
    "/api/hosts/;login",
    "/api/hosts/%00",
    "/api/hosts/.json",
    "/api/hosts/?format=json&user=ada",
    "/api/hosts.json",
    "/static/../api/hosts/",
    "/static/..;/api/hosts/",
    "/account/login/../../hosts/",
    "/account/login/%2f..%2f..%2fhosts/",
    "/hosts/#/healthz",
    "/hosts/?next=/account/login/",
    "/admin/login/../auth/user/",
    "/admin/jsi18n/../auth/user/",
    "/metrics/",
    "/metrics?user=ada",
]


def assert_closed(client: Client, path: str, **headers: str) -> None:
    """To strangers all is closed; who is signed in sees nothing that was not granted to him."""
    answer = client.get(path, headers=headers)
    stranger = settings.SESSION_COOKIE_NAME not in client.cookies
    assert answer.status_code in CLOSED or "HX-Redirect" in answer or not stranger, (path, headers)
    assert b"canary" not in getattr(answer, "content", b""), (path, headers)


@pytest.fixture
def outsiders(ada: User, sam: User) -> list[Client]:
    """Nobody, and somebody without rights; there is something to be seen."""
    owned_host(hostname="canary")
    signed_in = Client()
    signed_in.force_login(sam, backend=BACKEND)
    return [Client(), signed_in]


def test_by_a_header(outsiders: list[Client], record_property: Callable[[str, object], None]) -> None:
    record_property("tried", len(HEADERS) * len(outsiders) * len(DOORS))
    for client in outsiders:
        for name, value in HEADERS.items():
            for door in DOORS:
                assert_closed(client, door, **{name: value})


def test_by_a_token_that_is_none(
    outsiders: list[Client], ada: User, record_property: Callable[[str, object], None]
) -> None:
    token, text = ApiToken.objects.create(user=ada, name="x")
    near = [text[:-1], f"{text}x", text[:8], token.digest, f"{text} x", f"{text}\x00"]
    values = [*AUTHORIZATIONS, *(f"Token {wrong}" for wrong in near)]
    record_property("tried", 2 * len(values))
    for value in values:
        for door in ("/api/hosts/", "/metrics"):
            assert Client().get(door, headers={"Authorization": value}).status_code == 401, value


def test_by_a_detour(outsiders: list[Client], record_property: Callable[[str, object], None]) -> None:
    record_property("tried", len(PATHS) * len(outsiders))
    for client in outsiders:
        for path in PATHS:
            assert_closed(client, path)


SIGN_INS: Final[list[dict[str, Any]]] = [
    {"login": "ada", "password": ""},
    {"login": "ada"},
    {"login": ["ada", "sam"], "password": "guess"},
    {"login": "sam", "password": PASSWORD, "username": "ada", "user": "1", "id": "1"},
    {"login": "sam", "password": PASSWORD, "is_superuser": "1", "is_staff": "1", "is_active": "1"},
    {"login[]": "ada", "password[]": ""},
    {"login[$ne]": "", "password[$ne]": ""},
    {"login": "ada' --", "password": "x"},
    {"login": "ada' OR '1'='1", "password": "' OR '1'='1"},
    {"login": "ada\x00", "password": PASSWORD},
    {"login": "*", "password": "*"},
    {"login": "ada", "password": "x" * 5000},
    {"login": "ada", "password": "guess", "remember": "1", "authenticated": "true", "next": "/admin/"},
]


@pytest.mark.parametrize("fields", SIGN_INS, ids=lambda fields: " ".join(map(str, fields))[:30])
def test_by_a_field_of_signing_in(ada: User, sam: User, fields: dict[str, Any]) -> None:
    client = Client()
    client.post("/account/login/", fields)
    assert client.get("/hosts/").status_code in {302, 403}
    sam.refresh_from_db()
    assert not sam.is_superuser
    assert not sam.is_staff


JUNK: Final[dict[str, Any]] = {
    "id": 77,
    "pk": 77,
    "user": 77,
    "user_id": 77,
    "owner": "sam",
    "actor": "sam",
    "actor_name": "sam",
    "created": "2000-01-01T00:00:00Z",
    "created_at": "2000-01-01T00:00:00Z",
    "last_used_at": "2000-01-01T00:00:00Z",
    "digest": "d" * 128,
    "token": "t" * 64,
    "token_key": "t" * 15,
    "uses": 77,
    "secret": "s" * 43,
    "key": "s" * 43,
    "state": "succeeded",
    "trust": "owned",
    "status": "online",
    "uuid": "00000000-0000-4000-8000-000000000077",
    "host": 77,
    "is_superuser": True,
    "is_staff": True,
    "__class__": "x",
    "_state": {},
    "csrfmiddlewaretoken": "x",
}


def test_by_fields_that_are_nobody_s_to_set(api: APIClient, ada: User, sam: User) -> None:
    """They are left out, and what comes back is the server's own."""

    def made(path: str, **fields: object) -> dict[str, Any]:
        answer = api.post(path, JUNK | fields, format="json")
        assert answer.status_code in {201, 202}, answer.content
        told: dict[str, Any] = answer.json()
        kept = {name for name, junk in JUNK.items() if name in told and told[name] == junk}
        assert kept == set(), path
        return told

    made("/api/tokens/", name="x")
    assert set(ApiToken.objects.values_list("user", flat=True)) == {ada.pk}
    made("/api/join-keys/", label="x")
    assert JoinKey.objects.get().uses == 0
    made("/api/ranges/", cidr="192.0.2.0/24")
    guest = domain()
    told = made(f"/api/domains/{guest.pk}/autostart/", enabled=True)
    assert told["actor"] == "ada"
    operation = Operation.objects.get()
    assert (operation.actor, operation.state, operation.host_id) == (ada, "accepted", guest.host_id)
    assert operation.args == {"enabled": True}
    assert not Host.objects.filter(pk=77).exists()


def test_by_a_field_that_names_another_user(sam: User, ada: User) -> None:
    """Who changes a password changes his own."""
    client = Client()
    client.force_login(sam, backend=BACKEND)
    fields = {"oldpassword": PASSWORD, "password1": "Zebra-lamp-42", "password2": "Zebra-lamp-42"}
    client.post("/account/password/change/", fields | {"user": ada.pk, "username": "ada", "id": ada.pk})
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)
    sam.refresh_from_db()
    assert sam.check_password("Zebra-lamp-42")
    assert not sam.is_superuser


@pytest.mark.parametrize("name", ["user", "pk", "id", "is_superuser", "username"])
def test_by_a_field_of_the_address(sam: User, ada: User, name: str) -> None:
    """A query says what is looked for, and not who looks."""
    client = Client()
    client.force_login(sam, backend=BACKEND)
    for door in DOORS:
        assert_closed(client, f"{door}?{name}={ada.pk}")
