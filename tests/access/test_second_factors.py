"""Authenticator apps, recovery codes and passkeys, but for what only a browser can do."""

import base64
import hashlib
import hmac
import json
import re
import struct
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.test import Client

from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PERIOD = timedelta(seconds=30)
# 99999999999999999999 and 1, as allauth writes ids.
NO_ONE, FIRST_USER = "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "MQ"
SIGNED = {"clientDataJSON": "e30", "authenticatorData": "eA", "signature": "eA"}


def credential(**response: object) -> str:
    return json.dumps({"id": "eA", "rawId": "eA", "type": "public-key", "response": response})


CREDENTIALS = [
    *("", "x", "null", "1", "[]", "{}", '"x"', '{"id": 1}', '{"response": null}', "[" * 5000),
    credential(),
    credential(userHandle=5),
    credential(userHandle=NO_ONE, **SIGNED),
    credential(userHandle=FIRST_USER, **SIGNED),
    credential(userHandle=FIRST_USER, **(SIGNED | {"clientDataJSON": "eA"})),
    credential(clientDataJSON="e30", attestationObject="eA"),
]


def code_of(secret: str, at: datetime) -> str:
    """What an authenticator app shows (RFC 6238)."""
    counter = struct.pack(">Q", int(at.timestamp()) // 30)
    digest = hmac.digest(base64.b32decode(secret), counter, hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**6:06}"


@pytest.fixture
def secret(ada: User) -> str:
    """Ada has an authenticator app with this secret."""
    text: str = generate_totp_secret()
    TOTP.activate(ada, text)
    return text


def give_password(client: Client, name: str = "ada") -> None:
    answer = client.post("/account/login/", {"login": name, "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/account/login/second/")


def give_code(client: Client, code: str) -> None:
    client.post("/account/login/second/", {"code": code})


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def confirm(client: Client) -> None:
    client.post("/account/reauthenticate/", {"password": PASSWORD})


def test_without_the_password_there_is_no_second_factor(stranger: Client, secret: str) -> None:
    for method in (stranger.get, stranger.post):
        assert method("/account/login/second/")["Location"].startswith("/account/login/")


def test_a_password_alone_is_not_enough(stranger: Client, secret: str) -> None:
    give_password(stranger)
    assert not is_in(stranger)
    assert stranger.get("/api/summary/").status_code == 401


@pytest.mark.parametrize("late", [-PERIOD, PERIOD, timedelta(days=1)])
def test_a_code_of_another_time_is_refused(stranger: Client, secret: str, late: timedelta) -> None:
    with time_machine.travel(NOON, tick=False):
        give_password(stranger)
        give_code(stranger, code_of(secret, NOON - late))
        assert not is_in(stranger)


def test_a_code_that_was_seen_lets_nobody_else_in(stranger: Client, secret: str) -> None:
    with time_machine.travel(NOON, tick=False):
        for client, lets_in in ((stranger, True), (Client(), False)):
            give_password(client)
            give_code(client, code_of(secret, NOON))
            assert is_in(client) is lets_in


def test_a_recovery_code_lets_in_once(stranger: Client, ada: User, secret: str) -> None:
    code = RecoveryCodes.activate(ada).get_unused_codes()[3]
    for client, lets_in in ((stranger, True), (Client(), False)):
        give_password(client)
        give_code(client, code)
        assert is_in(client) is lets_in


@pytest.mark.parametrize(
    "path", ["app/activate/", "keys/add/", "recovery/generate/", "keys/1/remove/", "keys/1/edit/"]
)
def test_a_factor_is_changed_after_the_password_was_given_again(browser: Client, path: str) -> None:
    for method in (browser.get, browser.post):
        answer = method(f"/account/factors/{path}")
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/account/reauthenticate/")


def test_the_factors_of_others_are_not_there(browser: Client, sam: User) -> None:
    his = Authenticator.objects.create(user=sam, type="webauthn", data={"name": "Sam key", "credential": {}})
    confirm(browser)
    for act in ("edit", "remove"):
        assert browser.post(f"/account/factors/keys/{his.pk}/{act}/").status_code == 404
    assert "Sam key" not in browser.get("/account/factors/").content.decode()


@pytest.mark.parametrize("said", CREDENTIALS)
def test_what_is_no_passkey_is_refused(browser: Client, stranger: Client, secret: str, said: str) -> None:
    told = {"credential": said}
    stranger.get("/account/login/passkey/", headers={"Accept": "application/json"})
    assert stranger.post("/account/login/passkey/", told)["Location"] == "/account/login/"
    give_password(stranger)
    assert stranger.get("/account/login/second/").status_code == 200
    assert stranger.post("/account/login/second/", told).status_code == 200
    assert not is_in(stranger)
    confirm(browser)
    assert browser.get("/account/factors/keys/add/").status_code == 200
    assert browser.post("/account/factors/keys/add/", told).status_code == 200
    assert not Authenticator.objects.filter(type="webauthn").exists()


def test_an_app_is_set_up_and_codes_are_shown_once(browser: Client, stranger: Client) -> None:
    confirm(browser)
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        page = browser.get("/account/factors/app/activate/").content.decode()
        found = re.search(r">([A-Z2-7]{32})<", page)
        assert found
        assert browser.post("/account/factors/app/activate/", {"code": "000000x"}).status_code == 200
        code = code_of(found[1], datetime.now(UTC))
        answer = browser.post("/account/factors/app/activate/", {"code": code})
        assert answer["Location"] == "/account/factors/recovery/"
        codes = re.findall(r"\b\d{8}\b", browser.get("/account/factors/recovery/").content.decode())
        assert len(set(codes)) == 10
        assert not re.search(r"\b\d{8}\b", browser.get("/account/factors/recovery/").content.decode())
        clock.shift(PERIOD)
        give_password(stranger)
        give_code(stranger, code_of(found[1], datetime.now(UTC)))
        assert is_in(stranger)


def test_without_another_factor_recovery_codes_end(browser: Client, secret: str, ada: User) -> None:
    RecoveryCodes.activate(ada)
    confirm(browser)
    assert browser.post("/account/factors/app/deactivate/")["Location"] == "/account/factors/"
    assert not Authenticator.objects.exists()


def test_the_database_alone_gives_no_secret_away(ada: User, secret: str) -> None:
    recovery = RecoveryCodes.activate(ada)
    kept = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in kept
    seed = recovery.instance.data["seed"]
    assert not re.fullmatch(r"[0-9a-f]+", seed)


def test_the_admin_shows_no_secret_and_frees_who_lost_his_phone(browser: Client, sam: User) -> None:
    his = TOTP.activate(sam, generate_totp_secret()).instance
    path = f"/admin/mfa/authenticator/{his.pk}"
    assert his.data["secret"] not in browser.get(f"{path}/change/").content.decode()
    assert browser.post(f"{path}/change/", {"data": "{}"}).status_code == 403
    browser.post(f"{path}/delete/", {"post": "yes"})
    assert not Authenticator.objects.exists()
