"""Verbs, refusals and consoles are recorded; what a definition holds is not."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from access.logins import Login
from access.models import ApiToken, AuditEntry
from domains import services
from domains.models import Domain
from hosts.choices import Trust

from .factories import domain, owned_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

News = Callable[[], list[tuple[str, str, str]]]
CANARY = "canary-4f1c"


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


def test_a_verb_that_the_state_does_not_allow_is_recorded(api: APIClient, recorded: News) -> None:
    row = domain(name="web-1", state="running")
    recorded()
    assert api.post(f"/api/domains/{row.pk}/start/").status_code == 409
    assert recorded() == [("operation.accept", "web-1", "wrong_state")]
    assert (last().actor_name, last().via_name, last().detail) == ("ada", "tests", {"verb": "start"})


def test_a_verb_is_recorded_with_its_domain_and_host(api: APIClient, recorded: News) -> None:
    row = domain(name="web-1", state="shutoff")
    recorded()
    assert api.post(f"/api/domains/{row.pk}/start/").status_code == 202
    assert recorded() == [("operation.accept", "web-1", "ok")]
    entry = last()
    assert (entry.target_type, entry.target_id, entry.detail["host"]) == (
        "domain",
        str(row.pk),
        row.host.hostname,
    )


def test_an_idempotent_repetition_is_one_deed(api: APIClient, recorded: News) -> None:
    row = domain(name="web-1", state="shutoff")
    recorded()
    for _ in range(2):
        api.post(f"/api/domains/{row.pk}/start/", headers={"Idempotency-Key": "k"})
    assert recorded() == [("operation.accept", "web-1", "ok")]


def test_of_many_at_once_the_parent_is_recorded(api: APIClient, recorded: News) -> None:
    host = owned_host()
    rows = [domain(host, state="shutoff") for _ in range(3)]
    recorded()
    body = {"verb": "start", "selector": {"ids": [row.pk for row in rows]}}
    assert api.post("/api/domains/bulk/", body, format="json").status_code == 202
    assert [action for action, _, _ in recorded()] == ["operation.accept"]
    assert last().target_type == "selection"
    nothing = body | {"selector": {"ids": [rows[0].pk], "state": "running"}}
    assert api.post("/api/domains/bulk/", nothing, format="json").status_code == 409
    assert [problem for _, _, problem in recorded()] == ["nothing_to_do"]


@pytest.mark.parametrize("trust", [Trust.OWNED, Trust.RETIRED])
def test_a_definition_is_recorded_without_its_xml(api: APIClient, recorded: News, trust: Trust) -> None:
    host = owned_host(trust=trust)
    xml = f"<domain type='test'><graphics type='vnc' passwd='{CANARY}'/></domain>"
    recorded()
    api.post(f"/api/hosts/{host.pk}/domains/", {"xml": xml}, format="json")
    assert [action for action, _, _ in recorded()] == ["operation.accept"]
    assert last().detail["verb"] == "define"
    assert CANARY not in json.dumps(list(AuditEntry.objects.values()), default=str)


def test_a_domain_that_is_forgotten_is_recorded(api: APIClient, recorded: News) -> None:
    row = domain(name="web-1")
    recorded()
    assert api.delete(f"/api/domains/{row.pk}/").status_code == 409
    Domain.objects.update(missing_since=timezone.now() - timedelta(days=1))
    assert api.delete(f"/api/domains/{row.pk}/").status_code == 204
    refused, done = recorded()
    assert refused[:2] == done[:2] == ("domain.forget", "web-1")
    assert (refused[2], done[2]) == ("domain_present", "ok")


def test_a_console_is_recorded_without_its_ticket(api: APIClient, ada: User, recorded: News) -> None:
    row = domain(name="web-1", state="running")
    login = Login(token=ApiToken.objects.get().pk)
    answer = api.post(f"/api/domains/{row.pk}/console/", {"kind": "serial"}, format="json")
    ticket = answer.json()["ticket"]
    recorded()
    assert services.admit_to_console(ticket, login=login, source="192.0.2.9") is not None
    assert recorded() == [("console.open", "web-1", "ok")]
    entry = last()
    assert (entry.actor_name, entry.via_name, entry.source) == ("ada", "tests", "192.0.2.9")
    assert entry.detail["kind"] == "serial"
    assert services.admit_to_console(ticket, login=login, source="192.0.2.9") is None
    assert recorded() == [("console.open", "", "ticket_refused")]
    assert ticket not in json.dumps(list(AuditEntry.objects.values()), default=str)
