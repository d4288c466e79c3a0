"""Every refusal is a problem (RFC 9457); what an outage breaks is 503, and nothing is 500."""

import errno
from collections.abc import Callable

import pytest
from django.db import OperationalError
from django.test import Client
from rest_framework.test import APIClient

from discovery.models import Range
from domains.services import mirror
from hosts import errors
from tests.cast import PASSWORD
from tests.domains.factories import domain, facts, owned_host
from virshmanager.errors import status_of

pytestmark = pytest.mark.django_db

MEMBERS = {"type", "title", "status", "detail", "instance"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("get", "/api/nothing/", None, 404, "not_found"),
        ("get", "/api/hosts/7/", None, 404, "not_found"),
        ("get", "/api/hosts/seven/", None, 404, "not_found"),
        ("get", "/api/join-keys/seven/", None, 404, "not_found"),
        ("get", "/api/hosts/?page=2", None, 404, "not_found"),
        ("get", "/api/hosts/?page=last2", None, 404, "not_found"),
        ("put", "/api/hosts/", {}, 405, "method_not_allowed"),
        ("options", "/api/docs/", None, 405, "method_not_allowed"),
        ("post", "/api/tokens/", {"name": ""}, 400, "invalid"),
        ("get", "/api/hosts/?status=well", None, 400, "invalid"),
        ("get", "/api/hosts/?ordering=public_key_sha256", None, 400, "invalid"),
        ("get", "/api/addresses/?range=0", None, 400, "invalid"),
        ("get", "/api/crawls/?phase=5", None, 400, "invalid"),
    ],
)
def test_refusals_are_problems(
    api: APIClient, method: str, path: str, body: object, status: int, kind: str
) -> None:
    answer = (
        getattr(api, method)(path, body, format="json") if body is not None else getattr(api, method)(path)
    )
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert set(problem) >= MEMBERS
    assert (problem["type"], problem["status"], problem["instance"]) == (kind, status, path.partition("?")[0])


@pytest.mark.parametrize(
    ("body", "content_type", "status", "kind"),
    [
        ('{"name": ', "application/json", 400, "parse_error"),
        ('{"name": NaN}', "application/json", 400, "parse_error"),
        ("[" * 100_000, "application/json", 400, "parse_error"),
        ('{"a":' * 65 + "1" + "}" * 65, "application/json", 400, "parse_error"),
        ('{"name": "' + "x" * 2**20 + '"}', "application/json", 413, "payload_too_large"),
        ('{"name": "' + "[" * 60 + "]" * 60 + '"}', "application/json", 400, "invalid"),
        ('{"name": "\\ud800"}', "application/json", 400, "parse_error"),
        ('{"\\uDFFF": 1}', "application/json", 400, "parse_error"),
        ('{"name": "\\ud83c\\udca1", "expires_in": "x"}', "application/json", 400, "invalid"),
        ("[1, 2]", "application/json", 400, "invalid"),
        ('"text"', "application/json", 400, "invalid"),
        ("\xff\xfe", "application/json", 400, "parse_error"),
        ("name=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ("<a/>", "application/xml", 415, "unsupported_media_type"),
    ],
)
def test_bodies_that_cannot_be_read(
    api: APIClient, body: str, content_type: str, status: int, kind: str
) -> None:
    answer = api.post("/api/tokens/", body.encode("latin-1"), content_type=content_type)
    assert (answer.status_code, answer.json()["type"]) == (status, kind)


@pytest.mark.parametrize("path", ["/api/join-keys/", "/api/ranges/1/crawl/"])
def test_a_choice_of_half_a_character_is_refused_in_whole_ones(api: APIClient, path: str) -> None:
    Range.objects.create(pk=1, cidr="127.0.0.1/32")
    body = '{"approve": "\\ud800", "phase": "\\ud800"}'
    assert api.post(path, body, content_type="application/json").status_code == 400


def test_a_form_that_came_from_elsewhere_is_refused(ada: object) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post("/account/login/", {"login": "ada", "password": PASSWORD}).status_code == 403


def test_a_page_is_never_larger_than_500(api: APIClient) -> None:
    mirror(owned_host(), [facts() for _ in range(510)])
    answer = api.get("/api/domains/?page_size=100000").json()
    assert (answer["count"], len(answer["results"])) == (510, 500)
    assert "page=2" in answer["next"]


OUTAGES = [
    (OperationalError("database is locked"), "database_unavailable"),
    (OperationalError("database or disk is full"), "database_unavailable"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
]


@pytest.mark.parametrize(("error", "kind"), OUTAGES)
def test_an_outage_is_503_in_the_api(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    monkeypatch.setattr("virshmanager.api.summary_for", raising(error))
    answer = api.get("/api/summary/")
    assert (answer.status_code, answer.json()["type"]) == (503, kind)
    assert answer["Retry-After"] == "5"


@pytest.mark.parametrize(("error", "kind"), OUTAGES)
def test_an_outage_is_503_on_a_page(
    browser: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str
) -> None:
    monkeypatch.setattr("virshmanager.pages.summary_for", raising(error))
    answer = browser.get("/")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"


def test_an_outage_at_the_door_is_503(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "django.contrib.sessions.backends.db.SessionStore.load",
        raising(OperationalError("database is locked")),
    )
    for path in ("/", "/api/hosts/", "/admin/"):
        assert browser.get(path).status_code == 503, path


def test_without_redis_nobody_logs_in_and_nothing_breaks(
    ada: object, stranger: Client, no_redis: None
) -> None:
    answer = stranger.post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert answer.status_code == 503
    assert stranger.get("/account/login/").status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/summary/", "/api/hosts/", "/api/domains/", "/api/ranges/", "/api/tokens/"]
)
def test_without_redis_reading_goes_on(api: APIClient, no_redis: None, path: str) -> None:
    assert api.get(path).status_code == 200


def test_without_redis_a_domain_is_shown(api: APIClient, no_redis: None) -> None:
    assert api.get(f"/api/domains/{domain().pk}/").status_code == 200


def test_a_defect_is_a_problem_too_and_tells_nothing(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virshmanager.api.summary_for", raising(ZeroDivisionError("secret")))
    answer = api.get("/api/summary/")
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert answer.json()["type"] == "internal_error"
    assert b"secret" not in answer.content


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotPossible("not_owned"), 409),
        (errors.OutsideRanges(), 409),
        (errors.Unreachable(), 503),
        (errors.CircuitOpen(), 503),
        (errors.HostBusy(), 503),
        (errors.TimedOut(), 504),
        (errors.RejectedByHost(), 502),
        (errors.WrongIdentity(), 502),
        (errors.ProtocolError("x"), 502),
        (errors.ProblemAnswer("wrong_state", 409, "not running"), 409),
        (errors.ProblemAnswer("no_such_domain", 404, "gone"), 404),
        (errors.ProblemAnswer("internal_error", 500, "x"), 502),
        (ValueError(), None),
    ],
)
def test_errors_of_hosts_have_a_status(error: Exception, status: int | None) -> None:
    assert status_of(error) == status


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
