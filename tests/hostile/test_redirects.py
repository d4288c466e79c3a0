"""Open redirects: where a sign-in leads is a page of ours, whatever `next` says."""

from typing import Final
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.test import Client

from tests.cast import PASSWORD

pytestmark = [pytest.mark.attack("Open redirect"), pytest.mark.django_db]

FORMS: Final = [
    "https://elsewhere.example/",
    "HTTPS://elsewhere.example/",
    "//elsewhere.example/",
    "///elsewhere.example/",
    "////elsewhere.example/",
    "/\\elsewhere.example/",
    "\\\\elsewhere.example/",
    "\\/elsewhere.example/",
    "/\t/elsewhere.example/",
    "\t//elsewhere.example/",
    " https://elsewhere.example/",
    "\n//elsewhere.example/",
    "/%0d%0aLocation: https://elsewhere.example/",
    "/x\r\nLocation: https://elsewhere.example/",
    "https:elsewhere.example",
    "https:/elsewhere.example",
    "https:///elsewhere.example",
    "http://testserver@elsewhere.example/",
    "http://testserver.elsewhere.example/",
    "http://testserver\\@elsewhere.example/",
    "http://elsewhere.example#@testserver/",
    "http://elsewhere.example?@testserver/",
    "http://[::ffff:192.0.2.1]/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "ftp://testserver/",
    "//elsewhere。example/",
]


def assert_stays(answer: HttpResponseBase) -> None:
    """As a browser reads it: backslashes are slashes, and tabs and line ends are not there (WHATWG URL)."""
    location = answer.headers.get("Location", answer.headers.get("HX-Redirect", "/"))
    read = location.strip().translate({ord("\\"): "/", 9: None, 10: None, 13: None})
    parts = urlsplit(read)
    assert (parts.scheme, parts.netloc) in {("", ""), ("http", "testserver")}, location
    assert not read.startswith("//"), location
    assert "\n" not in location


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_of_signing_in_and_out_and_confirming(ada: User, form: str) -> None:
    client = Client()
    credentials = {"login": "ada", "password": PASSWORD}
    asked = client.get("/hosts/", {"next": form})
    assert_stays(asked)
    assert_stays(client.post("/account/login/", {**credentials, "next": form}))
    assert_stays(client.get("/account/login/", {"next": form}))
    confirming = f"/account/reauthenticate/?{asked.headers['Location'].partition('?')[2]}"
    assert_stays(client.post(confirming, {"password": PASSWORD, "next": form}))
    assert_stays(client.get("/admin/login/", {"next": form}))
    assert_stays(client.post("/account/logout/", {"next": form}))
    assert_stays(client.post("/account/login/?" + asked.headers["Location"].partition("?")[2], credentials))


@pytest.mark.parametrize(
    "path",
    [
        "//elsewhere.example/hosts",
        "/\\elsewhere.example/hosts",
        "//elsewhere.example/..",
        "/%2felsewhere.example/x",
    ],
)
def test_of_a_path_that_lacks_its_slash(browser: Client, path: str) -> None:
    answer = browser.generic("GET", path)
    assert_stays(answer)


def test_the_form_that_is_shown_carries_no_foreign_address(stranger: Client) -> None:
    """allauth puts `next` into the page, for the form to send it back."""
    for form in FORMS:
        page = stranger.get("/account/login/", {"next": form}).content.decode()
        assert 'href="javascript' not in page.lower(), form
        assert "<script>alert" not in page, form
