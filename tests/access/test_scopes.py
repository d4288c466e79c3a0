"""The scope of a token: every route of the API by which something changes, for each scope."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.urls import get_resolver
from rest_framework.test import APIClient

from access.checks import routes
from access.choices import Scope
from access.services import create_token
from tests.access.test_doors import addresses
from tests.access.test_tokens import program
from tests.domains import factories

pytestmark = pytest.mark.django_db

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
# What a token of the scope `operate` is let through to: all of it.
OPERATED = {
    *((f"domain-{verb}", "POST") for verb in ("start", "shutdown", "reboot", "reset", "force-off")),
    *((f"domain-{verb}", "POST") for verb in ("suspend", "resume", "save", "restore", "autostart")),
    *(("domain-detail", "PATCH"), ("domain-bulk", "POST"), ("domain-console", "POST")),
    ("operation-cancel", "POST"),
}


def changes() -> Iterator[tuple[str, str, str]]:
    """Every route of the API with each such method: its name, the method, and an address."""
    found = dict(addresses())
    for name, _, view in routes(get_resolver()):
        offered = getattr(view, "actions", None) or dir(getattr(view, "cls", None))
        for method in CHANGING:
            if found[name].startswith("/api/") and method.lower() in offered:
                yield name, method, found[name]


CHANGES = sorted(set(changes()))


@pytest.fixture
def programs(ada: User) -> dict[str, APIClient]:
    """A program of Ada's for each scope."""
    return {scope: program(create_token(user=ada, name=scope, scope=scope)[1]) for scope in Scope.values}


@pytest.mark.parametrize(("name", "method", "address"), CHANGES)
def test_a_scope_lets_through_what_it_is_for(
    programs: dict[str, APIClient], name: str, method: str, address: str
) -> None:
    needs = Scope.OPERATE if (name, method) in OPERATED else Scope.ADMINISTER
    wide_enough = False
    for scope in Scope:
        answer = programs[scope].generic(method, address, "[]", "application/json")
        wide_enough = wide_enough or scope == needs
        if wide_enough:
            assert answer.status_code in {400, 404}, (scope, answer.content)  # nothing is there, or asked for
        else:
            assert (answer.status_code, answer.json()["type"]) == (403, "scope_too_narrow"), scope
            assert f"`{needs}`" in answer.json()["detail"]


def test_the_walk_finds_what_the_table_names() -> None:
    assert {(name, method) for name, method, _ in CHANGES} >= OPERATED
    assert ("domain-detail", "DELETE") in {(name, method) for name, method, _ in CHANGES}


@pytest.mark.parametrize("scope", Scope.values)
def test_every_scope_reads(programs: dict[str, APIClient], scope: str) -> None:
    for address in ("/api/domains/", "/api/hosts/", "/api/tokens/", "/metrics", "/api/schema/"):
        assert programs[scope].get(address).status_code == 200
        assert programs[scope].head(address).status_code == 200
    assert programs[scope].options("/api/domains/").status_code == 200


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_bulk_needs_what_its_verb_needs(programs: dict[str, APIClient], *, dry_run: bool) -> None:
    found = factories.domain()
    for verb, status in (("undefine", 403), ("start", 200 if dry_run else 202)):
        body = {"verb": verb, "selector": {"ids": [found.pk]}, "dry_run": dry_run}
        answer = programs["operate"].post("/api/domains/bulk/", body, format="json")
        assert answer.status_code == status, answer.content


def test_a_token_allows_no_more_than_its_user_may(sam: User) -> None:
    client = program(create_token(user=sam, name="wide", scope="administer")[1])
    for answer in (client.get("/api/domains/"), client.post("/api/join-keys/", {})):
        assert (answer.status_code, answer.json()["type"]) == (403, "permission_denied")


def test_a_token_makes_none_that_is_wider(programs: dict[str, APIClient]) -> None:
    for scope in ("read", "operate"):
        answer = programs[scope].post("/api/tokens/", {"name": "wider", "scope": "administer"}, format="json")
        assert answer.json()["type"] == "scope_too_narrow"


def test_a_session_has_no_scope(browser: APIClient) -> None:
    answer = browser.post("/api/tokens/", {"name": "of a person"}, content_type="application/json")
    assert answer.status_code == 201
