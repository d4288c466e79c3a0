"""Cross-site request forgery: no page of another site changes anything with the cookies of a user."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client
from django.test.utils import CaptureQueriesContext

from access.models import ApiToken
from tests.access.test_doors import addresses
from tests.cast import proven

pytestmark = [pytest.mark.attack("Cross-site request forgery"), pytest.mark.django_db]

METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")
ROUTES: Final = sorted({address for _, address in addresses()})
WRITES: Final = ("INSERT", "UPDATE", "DELETE")
BACKEND: Final = "allauth.account.auth_backends.AuthenticationBackend"
TOKEN_FORM: Final = {"name": "x", "scope": "read", "expires_in": "30"}


@pytest.fixture
def victim(ada: User) -> Client:
    """A browser that is signed in, behind the check that Django's test client leaves out by default."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(ada, backend=BACKEND)
    proven(client, ada)
    return client


def writes(queries: CaptureQueriesContext) -> Iterator[str]:
    """What was written, but for the session's own row, and what the audit keeps of the refusal."""
    for query in queries:
        sql = query["sql"].lstrip()
        if sql.startswith(WRITES) and not any(name in sql for name in ("django_session", "auditentry")):
            yield sql


@pytest.mark.parametrize("method", METHODS)
def test_every_route_that_changes_something(
    victim: Client, method: str, record_property: Callable[[str, object], None]
) -> None:
    """A method that a route does not have is 405, or 404 where its object is looked for first."""
    record_property("tried", len(ROUTES))
    answers: dict[str, int] = {}
    with CaptureQueriesContext(connection) as queries:
        for address in ROUTES:
            for media_type in ("application/x-www-form-urlencoded", "text/plain"):
                answer = victim.generic(method, address, b'{"name":"x"}', content_type=media_type)
                answers[address] = answer.status_code
                assert answer.status_code in {403, 404, 405}, (method, address)
    assert list(writes(queries)) == []
    if method == "POST":
        assert sum(status == 403 for status in answers.values()) > len(ROUTES) / 2


def forged(**headers: str) -> dict[str, Any]:
    return {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}


TOKEN: Final = _get_new_csrf_string()
ATTEMPTS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "no token": ({}, forged()),
    "an empty one": ({"csrfmiddlewaretoken": ""}, forged()),
    "a short one": ({"csrfmiddlewaretoken": "x"}, forged()),
    "a long one": ({"csrfmiddlewaretoken": "x" * 10_000}, forged()),
    "one made up": ({"csrfmiddlewaretoken": TOKEN}, forged()),
    "one made up in a header": ({}, forged(X_CSRFToken=TOKEN)),
    "two": ({"csrfmiddlewaretoken": [TOKEN, TOKEN]}, forged()),
    "a header of another name": ({}, forged(X_Requested_With="XMLHttpRequest", HX_Request="true")),
    "another method in a header": ({}, forged(X_HTTP_Method_Override="GET")),
    "another method in a field": ({"_method": "GET"}, forged()),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_without_the_token_of_this_session(victim: Client, attempt: str) -> None:
    victim.get("/account/tokens/")
    fields, headers = ATTEMPTS[attempt]
    answer = victim.post("/account/tokens/create/", TOKEN_FORM | fields, **headers)
    assert answer.status_code == 403
    assert not ApiToken.objects.exists()


ORIGINS: Final = [
    "null",
    "",
    "http://elsewhere.example",
    "https://testserver",
    "http://testserver:8001",
    "http://sub.testserver",
    "http://testserver.elsewhere.example",
    "http://testserver@elsewhere.example",
    "file://",
]


@pytest.mark.parametrize("origin", ORIGINS)
def test_from_another_origin_even_with_the_token(victim: Client, origin: str) -> None:
    """A sub-domain may set cookies for its parent, and so know both halves of the token."""
    victim.get("/account/tokens/")
    token = victim.cookies[settings.CSRF_COOKIE_NAME].value
    body = TOKEN_FORM | {"csrfmiddlewaretoken": token}
    answer = victim.post("/account/tokens/create/", body, **forged(Origin=origin))
    assert answer.status_code == 403
    own = victim.post("/account/tokens/create/", body, **forged(Origin="http://testserver"))
    assert own.status_code == 200
