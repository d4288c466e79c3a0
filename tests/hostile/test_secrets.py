"""Leaked secrets: what goes through every flow comes out of none.

Not into the log, nor the database, Redis, command lines, sessions, later answers or tracebacks. Each flow
returns the secrets that went through it; then all places are searched.
"""

import io
import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings
from redis import Redis
from rest_framework.test import APIClient

from access.models import SetupLink
from hosts.models import Host
from tests.access.test_second_factors import code_of
from tests.cast import PASSWORD
from tests.domains.factories import domain, owned_host
from tests.virshmanager.test_pages import fill, paths

from .conftest import Watch

pytestmark = [pytest.mark.attack("Leaked secret"), pytest.mark.django_db]

CODE: Final = "CANRY-12345"
NEW_PASSWORD: Final = "Canary-lamp-42"
WRONG: Final = "canary-of-a-wrong-password"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[io.StringIO]:
    """All that is logged, at the lowest level, with its tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def password(api: APIClient, browser: Client) -> set[str]:
    """Right, wrong, in the wrong place, and changed."""
    client = Client(raise_request_exception=False)
    client.post("/account/login/", {"login": "ada", "password": WRONG})
    client.post("/account/login/", {"login": WRONG, "password": PASSWORD})
    client.get("/account/login/", {"login": "ada", "password": PASSWORD})
    client.post("/account/login/", {"login": "ada", "password": PASSWORD}, headers={"Referer": "/"})
    client.post("/account/login/", json.dumps({"password": PASSWORD}), content_type="application/json")
    browser.post("/account/reauthenticate/", {"password": PASSWORD})
    fields = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    browser.post("/account/password/change/", fields | {"password2": WRONG})
    browser.post("/account/password/change/", fields)
    return {PASSWORD, NEW_PASSWORD}


def token(api: APIClient, browser: Client) -> set[str]:
    """Made by both doors, used in the right and in the wrong place, and repeated by its key."""
    key = {"Idempotency-Key": "k"}
    made = [api.post("/api/tokens/", {"name": "x"}, format="json", headers=key).json()["token"] for _ in "12"]
    browser.post("/account/reauthenticate/", {"password": PASSWORD})
    page = browser.post("/account/tokens/create/", {"name": "y", "expires_in": "30", "scope": "read"})
    made += re.findall(r"\b[0-9a-f]{64}\b", page.content.decode())
    program = Client(raise_request_exception=False)
    for text in made:
        program.get("/api/hosts/", headers={"Authorization": f"Token {text}"})
        program.get("/api/hosts/", headers={"Authorization": f"Bearer {text}"})
        program.get("/api/hosts/", headers={"Authorization": f"Token {text}x"})
        program.get("/api/nowhere/", {"token": text}, headers={"Authorization": f"Token {text}"})
    assert len({*made}) == 2
    return {*made}


def join_key(api: APIClient, browser: Client) -> set[str]:
    """Made by both doors and by the command."""
    made = [api.post("/api/join-keys/", {"label": "x"}, format="json").json()["join"]]
    told = {"label": "y", "expires_in": "3600", "approve": "auto"}
    page = browser.post("/join-keys/create/", told).content.decode()
    secrets = set(re.findall(r"secret&quot;: &quot;([\w=+/-]+)&quot;", page))
    out = io.StringIO()
    call_command("join_key", "create", stdout=out)
    secrets |= {join["secret"] for join in [*made, json.loads(out.getvalue())]}
    assert len(secrets) == 3
    return secrets


def adopt_code(api: APIClient, browser: Client) -> set[str]:
    """Given by both doors and by the command, to a host that refuses and to one that breaks."""
    host = Host.objects.filter(trust="found").first() or owned_host(trust="found", address="127.0.0.1")
    for code in (CODE, CODE.replace("-", "").lower(), f" {CODE} x"):
        api.post(f"/api/hosts/{host.pk}/adopt/", {"code": code}, format="json")
        api.post(f"/api/hosts/{host.pk}/adopt/", {"code": [code]}, format="json")
        browser.post(f"/hosts/{host.pk}/adopt/", {"code": code})
    return {CODE, CODE.replace("-", "")}


def ticket(api: APIClient, browser: Client) -> set[str]:
    path = f"/api/domains/{domain(state='running').pk}/console/"
    key = {"Idempotency-Key": "c"}
    made = {api.post(path, {"kind": "vnc"}, format="json", headers=key).json()["ticket"] for _ in "12"}
    return made | {browser.post(path, {"kind": "serial"}, "application/json").json()["ticket"]}


def second_factor(api: APIClient, browser: Client) -> set[str]:
    """An app is set up, its code used, and recovery codes shown once."""
    browser.post("/account/reauthenticate/", {"password": PASSWORD})
    page = browser.get("/account/factors/app/activate/").content.decode()
    (secret,) = re.findall(r">([A-Z2-7]{32})<", page)
    browser.post("/account/factors/app/activate/", {"code": "000000"})
    browser.post("/account/factors/app/activate/", {"code": code_of(secret, datetime.now(UTC))})
    codes = re.findall(r"\b\d{8}\b", browser.get("/account/factors/recovery/").content.decode())
    assert len({*codes}) == 10
    client = Client(raise_request_exception=False)
    client.post("/account/login/", {"login": "ada", "password": PASSWORD})
    client.post("/account/login/second/", {"code": codes[0]})
    return {secret, *codes}


def setup_link(api: APIClient, browser: Client) -> set[str]:
    """The one secret that is in an address."""
    out = io.StringIO()
    User.objects.all().delete()
    call_command("setup_link", stdout=out)
    (link,) = re.findall(r"/setup/([\w-]+)/", out.getvalue())
    client = Client(raise_request_exception=False)
    fields = {"username": "ada", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    client.post(f"/account/setup/{link}/", fields | {"password2": WRONG})
    client.post(f"/account/setup/{link}/", fields)
    assert not SetupLink.objects.exists()
    return {NEW_PASSWORD}


FLOWS: Final = (password, token, join_key, adopt_code, ticket, second_factor, setup_link)
Flow = Callable[[APIClient, Client], set[str]]


def forms_of(secret: str) -> set[str]:
    """How a secret may be written down."""
    raw = secret.encode()
    return {secret, quote(secret), b64encode(raw).decode(), raw.hex(), json.dumps(secret)[1:-1]}


def database() -> Iterator[tuple[str, str]]:
    """Every cell of every table, and what sessions hold when they are read."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 -- from the database
            for row in cursor.fetchall():
                yield table, str([bytes(cell) if isinstance(cell, memoryview) else cell for cell in row])
    for session in Session.objects.all():
        yield "a session", str(session.get_decoded())


def in_redis(redis: Redis) -> Iterator[tuple[str, str]]:
    client: Any = redis
    for key in client.scan_iter("*"):
        if client.type(key) == b"string":
            yield f"Redis {key!r}", f"{key!r} {client.get(key)!r}"


def told(browser: Client, api: APIClient) -> Iterator[tuple[str, str]]:
    """What pages and API say afterwards."""
    for path in [*paths(), "/audit/", "/account/factors/"]:
        yield path, browser.get(path).content.decode()
    for path in ("tokens", "join-keys", "hosts", "operations", "domains", "audit", "ranges", "summary"):
        yield path, api.get(f"/api/{path}/").content.decode()


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_a_secret_comes_out_nowhere(
    flow: Flow, api: APIClient, browser: Client, log: io.StringIO, redis_server: Redis, watch: Watch
) -> None:
    if flow is not setup_link:
        fill()
    secrets = flow(api, browser)
    places = [*database(), *in_redis(redis_server), ("argv", str(watch.started)), ("the log", log.getvalue())]
    places += told(browser, api) if flow not in {setup_link, password} else ()
    assert secrets
    for secret in secrets:
        for form in forms_of(secret):
            assert [place for place, text in places if form in text] == [], secret


# Where each flow does its work: there something breaks that nobody foresaw.
BROKEN: Final = {
    "access.services.create_token": token,
    "hosts.services.create_join_key": join_key,
    "hosts.services.adopt": adopt_code,
    "domains.services.offer_console": ticket,
    "allauth.account.auth_backends.AuthenticationBackend.authenticate": password,
}


@pytest.mark.parametrize("place", BROKEN)
def test_a_secret_is_in_no_traceback(
    place: str,
    api: APIClient,
    browser: Client,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    """Neither in the one that is logged, nor in the answer."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("planted")

    fill()
    host = owned_host(trust="found", address="127.0.0.1")
    guest = domain(state="running")
    monkeypatch.setattr(place, broken)
    answers: list[Any] = [
        api.post("/api/tokens/", {"name": "x"}, format="json"),
        api.post("/api/join-keys/", {"label": "x"}, format="json"),
        api.post(f"/api/hosts/{host.pk}/adopt/", {"code": CODE}, format="json"),
        browser.post(f"/hosts/{host.pk}/adopt/", {"code": CODE}),
        api.post(f"/api/domains/{guest.pk}/console/", {"kind": "vnc"}, format="json"),
        Client(raise_request_exception=False).post("/account/login/", {"login": "ada", "password": PASSWORD}),
    ]
    assert any(answer.status_code == 500 for answer in answers)
    assert "planted" in log.getvalue()
    sent = [CODE, PASSWORD, str(api._credentials["HTTP_AUTHORIZATION"]).partition(" ")[2]]  # type: ignore[attr-defined]
    for text in [
        log.getvalue(),
        *(answer.content.decode() for answer in answers if answer.status_code == 500),
    ]:
        assert not [secret for secret in sent if secret in text]


def test_the_command_takes_the_code_from_its_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: io.StringIO
) -> None:
    """In a list of processes everybody reads along."""
    host = owned_host(trust="found", address="127.0.0.1")
    monkeypatch.setattr("sys.stdin", io.StringIO(CODE))
    with pytest.raises(CommandError) as caught:
        call_command("adopt", str(host.pk))
    said = capsys.readouterr()
    for text in (said.out, said.err, log.getvalue(), str(caught.value), *(row for _, row in database())):
        assert CODE not in text
