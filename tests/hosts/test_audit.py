"""What is decided about hosts, and what becomes of operations, is recorded with who wanted it."""

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from access.choices import Role
from access.models import AuditEntry
from hosts import services
from hosts.choices import OperationState, Trust
from hosts.errors import NotPossible
from hosts.models import Host, QuarantinedKey
from hosts.services.enrolling import fail
from hosts.services.operations import moves
from hosts.services.quarantine import quarantine
from tests.access.granting import granted

from .factories import a_host
from .journals import Journal, asked_for, carried

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

News = Callable[[], list[tuple[str, str, str]]]


def last() -> AuditEntry:
    return AuditEntry.objects.latest("pk")


@pytest.mark.parametrize(
    ("verb", "trust", "problem"),
    [
        ("approve", Trust.OWNED, "not_waiting"),
        ("deny", Trust.OWNED, "still_owned"),
        ("retire", Trust.FOUND, "not_owned"),
        ("forget", Trust.OWNED, "still_owned"),
    ],
)
def test_a_refused_decision_is_recorded(
    ada: User, recorded: News, verb: str, trust: Trust, problem: str
) -> None:
    host = a_host(trust=trust, hostname="hv-01")
    recorded()
    with pytest.raises(NotPossible):
        getattr(services, verb)(host, actor=ada)
    assert recorded() == [(f"host.{verb}", "hv-01", problem)]
    assert (last().result, last().actor_name) == ("refused", "ada")


@pytest.mark.parametrize(
    ("verb", "trust"),
    [
        ("approve", Trust.PENDING),
        ("deny", Trust.FOUND),
        ("retire", Trust.OWNED),
    ],
)
def test_a_decision_by_the_api_is_recorded(api: APIClient, recorded: News, verb: str, trust: Trust) -> None:
    host = a_host(trust=trust, hostname="hv-01")
    recorded()
    assert api.post(f"/api/hosts/{host.pk}/{verb}/").status_code == 200
    assert recorded() == [(f"host.{verb}", "hv-01", "ok")]
    entry = last()
    assert (entry.actor_name, entry.via, entry.via_name, entry.source) == (
        "ada",
        "token",
        "tests",
        "127.0.0.1",
    )
    assert (entry.target_type, entry.target_id) == ("host", str(host.pk))


def test_a_host_that_is_forgotten_keeps_its_name_in_the_audit(api: APIClient, recorded: News) -> None:
    host = a_host(trust=Trust.DENIED, hostname="hv-01")
    recorded()
    assert api.delete(f"/api/hosts/{host.pk}/").status_code == 204
    assert recorded() == [("host.forget", "hv-01", "ok")]
    assert (last().target_id, last().detail) == (str(host.pk), {"uuid": str(host.uuid)})


def test_an_adoption_that_fails_is_recorded_without_its_code(browser: Client, recorded: News) -> None:
    host = a_host(trust=Trust.FOUND, hostname="hv-01", public_key_sha256="ab")
    recorded()
    browser.post(f"/hosts/{host.pk}/adopt/", {"code": "VWXYZ-98765"})
    assert recorded() == [("host.adopt", "hv-01", "outside_ranges")]
    assert last().detail == {"address": host.address, "fingerprint": "ab"}


@pytest.mark.usefixtures("client_identity")
def test_join_keys_are_recorded_without_their_secret(api: APIClient, recorded: News) -> None:
    recorded()
    answer = api.post("/api/join-keys/", {"label": "rack 4", "max_uses": 2}, format="json").json()
    api.delete(f"/api/join-keys/{answer['id']}/")
    api.delete(f"/api/join-keys/{answer['id']}/")
    assert recorded() == [("join_key.create", "rack 4", "ok"), ("join_key.revoke", "rack 4", "ok")]
    secret = answer["join"]["secret"]
    kept = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert secret not in kept
    assert b64decode(secret).hex() not in kept


def test_a_quarantine_is_recorded_once_and_its_end_by_who_ended_it(browser: Client, recorded: News) -> None:
    for _ in range(3):
        quarantine("ab" * 32, claimed=None, ip="192.0.2.1", problem="mitm_suspected")
    key = QuarantinedKey.objects.get()
    assert [action for action, _, _ in recorded() if action.startswith("key")] == ["key.quarantine"]
    browser.post(f"/admin/hosts/quarantinedkey/{key.pk}/delete/", {"post": "yes"})
    assert ("key.release", str(key), "ok") in recorded()
    entry = AuditEntry.objects.get(action="key.release")
    assert (entry.actor_name, entry.via) == ("ada", "session")


def test_a_failed_enrolment_is_recorded_once(recorded: News) -> None:
    """Each crawl tries again: the audit would hold nothing else."""
    host = a_host(trust=Trust.PENDING, hostname="hv-01")
    for _ in range(3):
        fail(host, "bad_proof", "It could not prove the join key.")
    assert recorded() == [("host.enrol", "hv-01", "bad_proof")]
    assert last().via == "system"


@pytest.mark.usefixtures("dialable")
def test_an_operation_is_recorded_when_asked_for_and_when_it_ends(
    host: Host, journal: Journal, ada: User, recorded: News
) -> None:
    recorded()
    operation = carried(asked_for(host, ada))
    assert operation.state == OperationState.SUCCEEDED
    name = operation.target_name
    assert recorded() == [("operation.accept", name, "ok"), ("operation.end", name, "succeeded")]
    rows = AuditEntry.objects.filter(detail__operation=str(operation.pk)).order_by("pk")
    assert [(row.actor_name, row.detail["verb"]) for row in rows] == [("ada", operation.verb)] * 2
    assert [row.actor_id for row in rows] == [ada.pk] * 2
    assert rows[1].via == "system"


@pytest.mark.parametrize(
    ("state", "problem"), [("failed", "libvirt_error"), ("unknown", "lost"), ("expired", "deadline")]
)
def test_a_verdict_is_recorded_once_with_its_problem(
    ada: User, recorded: News, state: str, problem: str
) -> None:
    operation = asked_for(a_host(), ada)
    recorded()
    told: dict[str, Any] = {"problem": {"type": problem, "detail": "<b>guest\x1b[31m</b>"}}
    assert moves.move(operation, OperationState(state), **told)
    assert not moves.move(operation, OperationState.SUCCEEDED)
    assert recorded() == [("operation.end", operation.target_name, problem)]
    assert last().result == state


def test_a_cancellation_is_recorded_by_who_cancelled(ada: User, sam: User, recorded: News) -> None:
    granted(sam, Role.OPERATOR)
    operation = asked_for(a_host(), ada)
    recorded()
    services.cancel(operation, actor=sam)
    name = operation.target_name
    assert sorted(recorded()) == [("operation.cancel", name, "ok"), ("operation.end", name, "cancelled")]
    who = AuditEntry.objects.filter(action__startswith="operation").order_by("action")
    assert [row.actor_name for row in who] == ["ada", "sam", "ada"]
    with pytest.raises(NotPossible):
        services.cancel(operation, actor=sam)
    assert recorded() == [("operation.cancel", name, "operation_ended")]
    for row in AuditEntry.objects.filter(action="operation.cancel"):
        assert (row.detail["operation"], row.detail["verb"]) == (str(operation.pk), "start")
