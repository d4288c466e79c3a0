"""Every route, times who asks, times methods: the answer is what the table says."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, get_resolver, reverse
from django.utils import timezone

from access.checks import OPEN_TO_STRANGERS, routes
from access.choices import Role
from access.models import ApiToken
from access.services import create_token
from domains.models import Domain
from hosts.models import Host, Operation
from tests.cast import proven
from tests.domains.factories import domain, owned_host

from .granting import granted
from .matrix import BESIDES, METHODS, REACH, ROUTES, Kind, L, Route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

TAG = "web"
INTERNAL_ERROR = 500
# These wait for a host, and there is none.
NEEDS_A_HOST = frozenset({"domain-screen", "host-probe"})
NOBODY = "00000000-0000-8000-8000-000000000000"
JUNK = {"tags": 5, "kind": "junk", "enabled": "junk", "xml": 5, "code": [], "phase": "junk", "cidr": "junk"}
# What is asked where a junk body would be no question at all.
BODIES: dict[str, Any] = {
    "domain-bulk": {"verb": "start", "selector": {"tag": TAG}},
    "bulk-domains": {"verb": "start"},
    "edit-domain": {"tags": TAG},
}


class Things(NamedTuple):
    host: Host
    domain: Domain
    operation: Operation


def things(tag: str) -> Things:
    host = owned_host()
    guest = domain(host, tags=[tag])
    operation = Operation.objects.create(
        verb="start",
        host=host,
        target_type="domain",
        target_id=guest.pk,
        deadline=timezone.now(),
    )
    return Things(host, guest, operation)


@pytest.fixture
def here() -> Things:
    """What is granted on, or is on the host, or has the tag, that is."""
    return things(TAG)


@pytest.fixture
def elsewhere() -> Things:
    return things("db")


def browser_of(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    proven(client, user)
    return client


def address(name: str, kind: Kind, about: Things) -> str:
    """The address of a route, about these."""
    key = {"host": about.host.pk, "domain": about.domain.pk, "operation": about.operation.pk}.get(kind, 1)
    for arguments in ([], [key], [NOBODY], [key, "start"], ["access"], [1, "192.0.2.1"]):
        try:
            at = reverse(name, args=arguments)
        except NoReverseMatch:
            continue
        return f"{at}?verb=start&ids={about.domain.pk}" if name == "bulk-domains" else at
    raise AssertionError(name)


def asked(client: Client, method: str, name: str, at: str) -> int:
    """The status of an answer to what makes no sense; what it did is undone."""
    body = BODIES.get(name, {} if method == "get" else JUNK)
    json = method != "get" and (at.startswith("/api/") or method != "post")
    with transaction.atomic():
        answer = getattr(client, method)(at, body, **({"content_type": "application/json"} if json else {}))
        transaction.set_rollback(True)
    status: int = answer.status_code
    return status


class Call(NamedTuple):
    name: str
    kind: Kind
    method: str
    needed: int | None


def calls() -> Iterator[Call]:
    """All calls that the table names, and by `needed` None those that are not offered."""
    for name, route in ROUTES.items():
        beside = BESIDES.get(name, Route("fleet"))
        for method in METHODS:
            row = beside if beside.needs(method) is not None else route
            yield Call(name, row.kind, method, row.needs(method))


def is_right(status: int, call: Call, role: int, reach: frozenset[Kind]) -> bool:
    """Whether this is the answer for who has the role on what is in reach.

    What is then found there is the matter of other tests: many of these calls have nothing to act on.
    """
    if status >= INTERNAL_ERROR and call.name not in NEEDS_A_HOST:
        return False
    if call.kind == "account" or (call.kind == "mine" and role >= Role.VIEWER):
        return status not in {401, 403}
    if call.kind in {"host", "domain", "operation"} and call.kind not in reach and "own" in reach:
        return status == 404
    if call.kind not in reach or call.needed is None or role < call.needed:
        return status == 403
    return status not in {401, 403} and (status != 404 or call.kind == "fleet")


def wrong(client: Client, about: Things, role: int, target: str) -> dict[str, int]:
    """The answers that differ from the table, for who has this role by a grant on such a target."""
    found = {}
    for call in calls():
        if call.needed is not None:
            status = asked(client, call.method, call.name, address(call.name, call.kind, about))
            if not is_right(status, call, role, REACH[target]):
                found[f"{call.method} {call.name}"] = status
    return found


def test_every_route_has_its_row() -> None:
    named = {name for name, _, _ in routes(get_resolver()) if not name.startswith("admin:")}
    assert named == set(ROUTES) | (OPEN_TO_STRANGERS - {"admin:login"})


def test_a_stranger_is_let_in_nowhere(here: Things) -> None:
    assert not let_in(Client(raise_request_exception=False), here)


def let_in(client: Client, about: Things) -> dict[str, int]:
    """What is not answered as to somebody who is not logged in: by the login page, or by 401 in the API."""
    found = {}
    for call in calls():
        at = address(call.name, call.kind, about)
        status = asked(client, call.method, call.name, at)
        if status != (401 if at.startswith("/api/") or call.name == "metrics" else 302):
            found[f"{call.method} {call.name}"] = status
    return found


def test_a_login_without_grants_opens_its_own_account_alone(sam: User, here: Things) -> None:
    assert not wrong(browser_of(sam), here, L, "nothing")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("target", ["everything", "host", "domain"])
def test_a_role_opens_what_the_table_says(sam: User, here: Things, target: str, role: Role) -> None:
    granted(sam, role, {"everything": None, "host": here.host, "domain": here.domain}[target])
    assert not wrong(browser_of(sam), here, role, target)


def test_a_tag_opens_its_domains(sam: User, here: Things) -> None:
    granted(sam, Role.OPERATOR, TAG)
    assert not wrong(browser_of(sam), here, Role.OPERATOR, "tag")


def test_what_was_granted_on_others_opens_nothing_here(sam: User, here: Things, elsewhere: Things) -> None:
    granted(sam, Role.ADMINISTRATOR, elsewhere.host)
    granted(sam, Role.ADMINISTRATOR, elsewhere.domain)
    granted(sam, Role.ADMINISTRATOR, "db")
    assert not wrong(browser_of(sam), here, Role.ADMINISTRATOR, "another")


def test_a_superuser_may_everything_and_no_more_is_offered(ada: User, here: Things) -> None:
    browser = browser_of(ada)
    assert not wrong(browser, here, Role.ADMINISTRATOR, "everything")
    # Of one's own account allauth answers whatever the method: that is its own matter.
    unnamed = [call for call in calls() if call.needed is None and call.kind != "account"]
    answers = {
        call: asked(browser, call.method, call.name, address(call.name, call.kind, here)) for call in unnamed
    }
    assert not {call: status for call, status in answers.items() if status != 405}


def test_a_token_that_has_expired_opens_nothing(ada: User, here: Things) -> None:
    token, text = create_token(user=ada, name="old")
    program = Client(raise_request_exception=False, headers={"Authorization": f"Token {text}"})
    assert program.get("/api/domains/").status_code == 200
    ApiToken.objects.filter(pk=token.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert not let_in(program, here)


def test_a_user_who_was_disabled_is_a_stranger(ada: User, here: Things) -> None:
    browser = browser_of(ada)
    assert browser.get("/domains/").status_code == 200
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert not let_in(browser, here)


def test_the_admin_is_for_superusers_alone(sam: User, here: Things) -> None:
    granted(sam, Role.ADMINISTRATOR)
    browser = browser_of(sam)
    answers = {}
    for name, _, _ in routes(get_resolver()):
        if name.startswith("admin:") and name not in {"admin:login", "admin:"}:
            answers[name] = asked(browser, "get", name, address(name, "host", here))
    assert {name: status for name, status in answers.items() if status != 403} == {}
