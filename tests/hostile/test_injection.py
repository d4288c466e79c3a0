"""CRLF and HTML in every header, path and name: no header, no log line and no markup is made of them."""

import io
import logging
import re
from collections.abc import Callable, Iterator
from logging.config import DictConfigurator
from typing import Any, Final
from urllib.parse import quote

import pytest
from django.conf import settings
from django.http import HttpResponseBase
from django.test import Client
from rest_framework.test import APIClient

from access.models import ApiToken
from discovery.models import Range
from hosts.models import JoinKey
from tests.access.test_doors import addresses
from tests.domains.factories import domain

pytestmark = [pytest.mark.attack("Header and log injection"), pytest.mark.django_db]

TEXTS: Final = [
    "x\r\nX-Injected: 1",
    "x\nX-Injected: 1",
    "x\rX-Injected: 1",
    "x\r\n\r\n<script>alert(1)</script>",
    "\u560d\u560aX-Injected: 1",  # whose low bytes are CR and LF
    "x\u2028X-Injected: 1",
    "x\x85X-Injected: 1",
    '"><script>alert(1)</script>',
    "<img src=x onerror=alert(1)>",
    "x\r\n2026-01-01 00:00:00,000 WARNING access: ada signed in",
    "x\x1b[2J\x1b]0;owned\x07",
    "x\x00y",
]
HEADERS: Final = [
    *("Accept", "Accept-Language", "Authorization", "Content-Type", "Cookie", "Forwarded", "Host", "Origin"),
    *("HX-Boosted", "HX-Current-URL", "HX-Request", "HX-Target", "HX-Trigger", "Idempotency-Key", "If-Match"),
    *("Prefer", "Referer", "User-Agent", "X-CSRFToken", "X-Forwarded-For", "X-Forwarded-Host"),
    *("X-Forwarded-Proto", "X-Request-ID"),
]


@pytest.fixture
def log() -> Iterator[Callable[[], list[str]]]:
    """The lines that the server writes, in the form that it writes them in."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    told: Any = settings.LOGGING
    handler.setFormatter(DictConfigurator(told).configure_formatter(told["formatters"]["plain"]))
    logging.getLogger().addHandler(handler)
    yield lambda: stream.getvalue().split("\n")[:-1]
    logging.getLogger().removeHandler(handler)


def assert_clean(answer: HttpResponseBase) -> None:
    assert "X-Injected" not in answer.headers
    for name, value in answer.headers.items():
        assert not re.search(r"[\r\n\x00\x85\u2028]", f"{name}{value}"), (name, value)
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        page = getattr(answer, "content", b"").decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def assert_honest(lines: list[str]) -> None:
    """Each line is one of ours or a part of a traceback, and does nothing to the terminal that shows it."""
    assert lines
    for line in lines:
        assert LINE.match(line), line
        assert not FORGED.match(line), line
        assert line.isprintable(), line


LINE: Final = re.compile(r"    |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ")
FORGED: Final = re.compile("2026-01-01")
PLACES: Final = ["/", "/hosts/", "/api/hosts/", "/account/login/", "/nowhere/", "/api/nowhere/", "/admin/"]


def raw(text: str) -> str:
    """As the bytes of a header reach the server."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize("name", HEADERS)
def test_in_a_header(
    browser: Client,
    stranger: Client,
    log: Callable[[], list[str]],
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("tried", len(TEXTS))
    for number, text in enumerate(TEXTS):
        client = (browser, stranger)[number % 2]
        answer = client.get(PLACES[number % len(PLACES)], headers={name: raw(text)})
        assert answer.status_code < 500, text
        assert_clean(answer)
    stranger.get("/nowhere/", headers={name: raw(TEXTS[0])})
    assert_honest(log())


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_in_a_path(
    browser: Client,
    log: Callable[[], list[str]],
    text: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Of each route that has a word in it, and of none."""
    worded = {address for _, address in addresses() if "/x/" in f"{address}/"}
    quoted = quote(text, safe="")
    paths = [address.replace("/x/", f"/{quoted}/") for address in sorted(worded)]
    paths += [f"/{quoted}", f"/api/{quoted}/", f"/api/hosts/{quoted}/", f"/hosts?{quoted}"]
    paths += [
        f"/domains/?next={quoted}&search={quoted}&{quoted}=1",
        f"/api/domains/?search={quoted}&x={quoted}",
    ]
    record_property("tried", len(paths))
    for path in paths:
        answer = browser.get(path)
        assert answer.status_code < 500, path
        assert_clean(answer)
    assert_honest(log())


@pytest.mark.usefixtures("no_database")
def test_in_a_path_while_the_database_is_gone(api: APIClient, log: Callable[[], list[str]]) -> None:
    """Then the path is told by a line of ours, and not by Django's."""
    for text in (text for text in TEXTS if "/" not in text):
        answer = api.get(f"/api/hosts/{quote(text, safe='')}/")
        assert answer.status_code == 503
        assert_clean(answer)
    assert_honest(log())


@pytest.fixture
def no_database(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    from hosts.models import Host

    def broken(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(Host.objects, "visible_to", broken)


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_in_a_name(api: APIClient, browser: Client, log: Callable[[], list[str]], text: str) -> None:
    """What is taken as a name comes back in answers, messages and redirects; what is refused, in errors."""
    kept = text.replace("\x00", "")  # which PostgreSQL does not store
    guest = domain(title=kept, description=kept, tags=[kept[:60]])
    answers = [
        api.post("/api/tokens/", {"name": text}, format="json"),
        api.post("/api/join-keys/", {"label": text}, format="json"),
        api.post("/api/ranges/", {"cidr": "192.0.2.0/24", "label": text}, format="json"),
        api.patch(f"/api/domains/{guest.pk}/", {"title": text, "tags": [text]}, format="json"),
        browser.post("/account/tokens/create/", {"name": text, "expires_in": "30", "scope": "read"}),
        browser.post("/join-keys/create/", {"label": text, "expires_in": "3600", "approve": "auto"}),
        browser.post("/discovery/ranges/add/", {"cidr": "198.51.100.0/24", "label": text}, follow=True),
        browser.post(f"/domains/{guest.pk}/edit/", {"title": text, "tags": text}, follow=True),
    ]
    ApiToken.objects.update(name=kept)
    JoinKey.objects.update(label=kept)
    Range.objects.update(label=kept)
    token = ApiToken.objects.earliest("created")
    answers += [
        browser.post(f"/account/tokens/{token.pk}/delete/"),
        browser.get("/account/tokens/"),
        browser.get("/join-keys/"),
        browser.get("/discovery/"),
        browser.get(f"/domains/{guest.pk}/"),
        api.get("/metrics"),
    ]
    for answer in answers:
        assert answer.status_code < 500
        assert_clean(answer)
    assert_honest(log())


def test_in_the_words_of_an_error(log: Callable[[], list[str]]) -> None:
    for text in TEXTS:
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("hosts").exception("It failed: %s", text)
    assert_honest(log())
