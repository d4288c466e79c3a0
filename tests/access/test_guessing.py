"""Who guesses waits, and nobody else does."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth.models import User
from django.test import Client

from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db

HERE, THERE = "198.51.100.1", "198.51.100.2"


def gets_in(source: str, name: str = "ada", password: str = PASSWORD) -> bool:
    answer = Client(REMOTE_ADDR=source).post("/account/login/", {"login": name, "password": password})
    return answer.status_code == 302


def guess(source: str, times: int, name: str = "ada") -> None:
    for _ in range(times):
        assert not gets_in(source, name, "guess")


def test_after_five_guesses_the_right_password_is_refused_here_and_not_there(ada: User) -> None:
    guess(HERE, 5)
    assert not gets_in(HERE)
    assert gets_in(THERE)


def test_ten_sources_together_lock_nobody_out(ada: User) -> None:
    for number in range(10):
        guess(f"192.0.2.{number}", 6)
    assert gets_in(HERE)


def test_other_accounts_can_be_used_from_here(ada: User, sam: User) -> None:
    guess(HERE, 5)
    assert gets_in(HERE, "sam")


def test_many_names_from_one_source_are_limited_together(ada: User) -> None:
    for number in range(10):
        guess(HERE, 1, f"name{number}")
    assert not gets_in(HERE)
    assert gets_in(THERE)


@pytest.mark.parametrize("spelling", ["ADA", " ada", "ａｄａ"])  # noqa: RUF001 -- that is the point
def test_spellings_of_a_name_are_one_name(ada: User, spelling: str) -> None:
    guess(HERE, 5, spelling)
    assert not gets_in(HERE)


def test_an_ipv6_source_is_its_network(ada: User) -> None:
    for number in range(5):
        guess(f"2001:db8::{number}", 1)
    assert not gets_in("2001:db8::ffff")
    assert gets_in("2001:db8:0:1::1")


def test_waiting_helps_and_success_is_no_guess(ada: User) -> None:
    with time_machine.travel(datetime.now(UTC)) as clock:
        guess(HERE, 5)
        clock.shift(timedelta(minutes=5, seconds=1))
        for _ in range(12):
            assert gets_in(HERE)
        guess(HERE, 4)
        assert gets_in(HERE)
        guess(HERE, 1)
        assert not gets_in(HERE)


def second_stage(source: str) -> Client:
    client = Client(REMOTE_ADDR=source)
    client.post("/account/login/", {"login": "ada", "password": PASSWORD})
    return client


def test_codes_are_guessed_five_times_from_a_source_and_60_times_in_all(ada: User) -> None:
    TOTP.activate(ada, generate_totp_secret())
    codes = RecoveryCodes.activate(ada).get_unused_codes()
    for number in range(12):
        client = second_stage(f"192.0.2.{number}")
        for _ in range(5):
            client.post("/account/login/second/", {"code": "no"})
        if number == 0:
            client = second_stage("192.0.2.0")
            client.post("/account/login/second/", {"code": codes[0]})
            assert client.get("/").status_code == 302
            client = second_stage(HERE)
            client.post("/account/login/second/", {"code": codes[0]})
            assert client.get("/").status_code == 200
    client = second_stage(THERE)
    client.post("/account/login/second/", {"code": codes[1]})
    assert client.get("/").status_code == 302


def test_confirming_by_code_is_limited_too(ada: User) -> None:
    TOTP.activate(ada, generate_totp_secret())
    codes = RecoveryCodes.activate(ada).get_unused_codes()
    client = Client(REMOTE_ADDR=HERE)
    client.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
    for code in (*["no"] * 5, codes[0]):
        assert client.post("/account/reauthenticate/code/", {"code": code}).status_code == 200


def test_who_came_too_often_gets_a_page_that_says_so(ada: User) -> None:
    client = Client(REMOTE_ADDR=HERE)
    for _ in range(31):
        answer = client.post("/account/login/", {"login": "ada", "password": "guess"})
    assert answer.status_code == 429
    assert "Nothing is locked" in answer.content.decode()
