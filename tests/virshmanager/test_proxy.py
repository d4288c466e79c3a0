"""Where a request comes from, behind a TLS proxy: as the proxy says, and as nobody else does."""

import contextlib
import http.client
import re
import secrets
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from tests.virshmanager.serving import free_port, running

pytestmark = pytest.mark.timeout(180)

PASSWORD = secrets.token_urlsafe(12)
PROXY, SOMEBODY = "127.0.0.7", "127.0.0.8"
NAME = "manager.example"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server whose proxy stands at PROXY; its users are admin."""
    number = free_port()
    variables = {
        "VIRSHMANAGER_PORT": str(number),
        "VIRSHMANAGER_URL": f"https://{NAME}",
        "VIRSHMANAGER_PROXY": PROXY,
        "VIRSHMANAGER_ADMIN_PASSWORD": PASSWORD,
    }
    with running(tmp_path_factory.mktemp("home"), **variables):
        yield number


def gets_in(port: int, *, forwarded_for: str, password: str) -> bool:
    """Whether this password signs in, when the proxy asks for another."""
    told = {"Host": NAME, "X-Forwarded-Proto": "https", "X-Forwarded-For": forwarded_for}
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(PROXY, 0))
    try:
        line.request("GET", "/account/login/", headers=told)
        page = line.getresponse()
        cookie = (page.getheader("Set-Cookie") or "").partition(";")[0]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
        assert token
        form = {"csrfmiddlewaretoken": token[1], "login": "admin", "password": password}
        told |= {"Origin": f"https://{NAME}", "Cookie": cookie}
        told["Content-Type"] = "application/x-www-form-urlencoded"
        line.request("POST", "/account/login/", urlencode(form), told)
        answer = line.getresponse()
        answer.read()
        assert answer.status in {200, 302}
        return answer.status == http.client.FOUND
    finally:
        line.close()


def guess(port: int, *, forwarded_for: list[str]) -> None:
    for source in forwarded_for:
        assert not gets_in(port, forwarded_for=source, password="guess")


def test_another_than_the_proxy_is_not_believed_that_it_came_by_tls(port: int) -> None:
    told = {"Host": NAME, "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.1"}
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(SOMEBODY, 0))
    with contextlib.closing(line):
        line.request("GET", "/account/login/", headers=told)
        answer = line.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, f"https://{NAME}/account/login/")


def test_what_a_guesser_told_the_proxy_is_not_believed(port: int) -> None:
    guess(port, forwarded_for=[f"192.0.2.{number}, 203.0.113.1" for number in range(5)])
    assert not gets_in(port, forwarded_for="192.0.2.99, 203.0.113.1", password=PASSWORD)


def test_behind_the_proxy_who_guesses_waits_and_nobody_else(port: int) -> None:
    guess(port, forwarded_for=["203.0.113.2"] * 5)
    assert not gets_in(port, forwarded_for="203.0.113.2", password=PASSWORD)
    assert gets_in(port, forwarded_for="203.0.113.3", password=PASSWORD)
