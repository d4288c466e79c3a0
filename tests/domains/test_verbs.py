"""Verbs by the API: what is refused, in words a person understands, and what is accepted."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access.choices import Role
from domains.models import Domain
from domains.verbs import VERBS
from hosts.choices import Trust
from hosts.models import Host, Operation
from tests.access.granting import granted

from .factories import domain, owned_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

SIMPLE = [name for name, verb in VERBS.items() if verb.button]
FIELDS = {
    *("id", "parent", "verb", "target", "host", "actor", "state", "progress", "attempts", "created_at"),
    *("started_at", "finished_at", "deadline", "problem", "result", "events"),
}
DEFINITION = {"xml": "<domain type='test'/>"}


def ask(api: APIClient, row: Domain, verb: str, body: object = None, **headers: str) -> Any:
    return api.post(f"/api/domains/{row.pk}/{verb}/", body, format="json", headers=headers)


@pytest.mark.parametrize("verb", [*SIMPLE, "autostart"])
def test_nothing_changes_by_get(api: APIClient, verb: str) -> None:
    assert api.get(f"/api/domains/{domain().pk}/{verb}/").status_code == 405
    assert not Operation.objects.exists()


@pytest.mark.parametrize("verb", [*SIMPLE, "autostart"])
def test_a_user_without_rights_changes_nothing(sam: User, stranger: Client, verb: str) -> None:
    row = domain(state="running")
    assert stranger.post(f"/api/domains/{row.pk}/{verb}/").status_code == 401
    stranger.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert stranger.post(f"/api/domains/{row.pk}/{verb}/").status_code == 403
    assert not Operation.objects.exists()


def test_an_unknown_domain_is_404(api: APIClient) -> None:
    assert api.post("/api/domains/7/start/").status_code == 404
    assert api.post("/api/hosts/7/domains/", DEFINITION, format="json").status_code == 404


@pytest.mark.parametrize(
    ("verb", "facts", "words"),
    [
        (
            "start",
            {"state": "running"},
            "“web” is running, so “Start” is not possible now. Possible: Shut down",
        ),
        ("shutdown", {"state": "shutoff"}, "“web” is shut off, so “Shut down” is not possible now."),
        ("resume", {"state": "running"}, "“web” is running, so “Resume” is not possible now."),
        ("undefine", {"state": "running"}, "“web” is running, so “Delete” is not possible now."),
        ("restore", {"state": "shutoff"}, "“web” has no saved state, which “Restore” needs."),
        ("save", {"state": "running", "persistent": False}, "“web” is transient: it has no definition"),
    ],
)
def test_a_state_that_forbids_it_is_told_in_words(
    api: APIClient, verb: str, facts: dict[str, Any], words: str
) -> None:
    answer = ask(api, domain(name="web", **facts), verb)
    assert (answer.status_code, answer.json()["type"]) == (409, "wrong_state")
    assert words in answer.json()["detail"]
    assert verb not in answer.json()["actions"]
    assert "destroy" in answer.json()["actions"] or facts["state"] == "shutoff"
    assert not Operation.objects.exists()


@pytest.mark.parametrize("trust", [Trust.DENIED, Trust.RETIRED, Trust.PENDING])
def test_a_host_that_is_not_owned_is_told_nothing(api: APIClient, trust: Trust) -> None:
    row = domain()
    Host.objects.update(trust=trust)
    for answer in (
        ask(api, row, "start"),
        api.post(f"/api/hosts/{row.host.pk}/domains/", DEFINITION, format="json"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (409, "host_not_owned")


def test_a_domain_that_is_missing_is_told_nothing(api: APIClient) -> None:
    row = domain()
    Domain.objects.update(missing_since=timezone.now())
    answer = ask(api, row, "start")
    assert (answer.status_code, answer.json()["type"]) == (409, "domain_missing")


@pytest.mark.parametrize(
    ("path", "method", "body", "field"),
    [
        ("autostart/", "post", {}, "enabled"),
        ("autostart/", "post", {"enabled": "perhaps"}, "enabled"),
        ("", "patch", {}, "non_field_errors"),
        ("", "patch", {"title": "x" * 256}, "title"),
        ("", "patch", {"title": "two\nlines"}, "title"),
        ("", "patch", {"title": "\u202eevil"}, "title"),
        ("", "patch", {"title": None}, "title"),
        ("", "patch", {"description": "x" * 8193}, "description"),
        ("", "patch", {"description": "\x1b[2J"}, "description"),
        ("", "patch", {"tags": ["x"] * 65}, "tags"),
        ("", "patch", {"tags": [""]}, "tags"),
        ("", "patch", {"tags": ["a\tb"]}, "tags"),
        ("", "patch", {"tags": ["a\ufffeb"]}, "tags"),
        ("", "patch", {"tags": "a"}, "tags"),
    ],
)
def test_arguments_that_cannot_be_are_400(
    api: APIClient, path: str, method: str, body: object, field: str
) -> None:
    answer = getattr(api, method)(f"/api/domains/{domain().pk}/{path}", body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"xml": ""},
        {"xml": "x" * (512 * 1024 + 1)},
        {"xml": "é" * (256 * 1024 + 1)},
        {"xml": "<domain/>", "xml_hash": "A" * 64},
        {"xml": 5.5, "x": 1},
    ],
)
def test_a_definition_that_cannot_be_is_400(api: APIClient, body: dict[str, object]) -> None:
    answer = api.post(f"/api/hosts/{owned_host().pk}/domains/", body, format="json")
    assert answer.status_code == (202 if body.get("xml") == 5.5 else 400)


def test_a_domain_that_is_there_is_not_forgotten(api: APIClient) -> None:
    row = domain()
    answer = api.delete(f"/api/domains/{row.pk}/")
    assert (answer.status_code, answer.json()["type"]) == (409, "domain_present")
    Domain.objects.update(missing_since=timezone.now())
    assert api.delete(f"/api/domains/{row.pk}/").status_code == 204
    assert not Domain.objects.exists()


def test_a_crashed_domain_that_is_in_memory_still_is_forced_off_first(api: APIClient) -> None:
    row = domain(state="crashed", id=3, has_managed_save=True)
    for verb in ("start", "restore", "undefine"):
        answer = ask(api, row, verb)
        assert (answer.status_code, answer.json()["type"]) == (409, "wrong_state")
        assert answer.json()["actions"] == ["destroy", "autostart", "metadata"]
        assert "is crashed" in answer.json()["detail"]
    assert ask(api, row, "destroy").status_code == 202
    Domain.objects.update(libvirt_id=None)
    assert ask(api, row, "start").status_code == 202


# Idempotency keys.


def test_a_key_is_looked_up_before_the_state_is_judged(api: APIClient) -> None:
    row = domain(state="shutoff")
    first = ask(api, row, "start", **{"Idempotency-Key": "k"})
    Domain.objects.update(state="running")
    Operation.objects.update(state="running")
    again = ask(api, row, "start", **{"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert (again.json()["id"], again.json()["state"]) == (first.json()["id"], "running")
    assert again["Location"] == first["Location"] == f"/api/operations/{first.json()['id']}/"
    assert Operation.objects.count() == 1


def test_a_key_for_other_arguments_is_422(api: APIClient) -> None:
    row, other = domain(state="shutoff"), domain(state="shutoff")
    key = {"Idempotency-Key": "k"}
    assert ask(api, row, "autostart", {"enabled": True}, **key).status_code == 202
    for answer in (
        ask(api, row, "autostart", {"enabled": False}, **key),
        ask(api, row, "start", **key),
        ask(api, other, "autostart", {"enabled": True}, **key),
        api.patch(f"/api/domains/{row.pk}/", {"title": "x"}, format="json", headers=key),
        api.post(f"/api/hosts/{row.host.pk}/domains/", DEFINITION, format="json", headers=key),
        api.post(
            "/api/domains/bulk/", {"verb": "start", "selector": {"ids": [row.pk]}}, format="json", headers=key
        ),
    ):
        assert (answer.status_code, answer.json()["type"]) == (422, "idempotency_key_reused")
    assert Operation.objects.count() == 1


@pytest.mark.parametrize(("verb", "body"), [("undefine", None), ("autostart", {"enabled": True})])
def test_a_key_finds_the_operation_of_a_domain_that_is_gone_by_now(
    api: APIClient, verb: str, body: object
) -> None:
    row, key = domain(state="shutoff"), {"Idempotency-Key": "k"}
    first = ask(api, row, verb, body, **key)
    pk = row.pk
    row.delete()
    row.pk = pk
    for other in ({"Idempotency-Key": "j"}, {}):
        assert ask(api, row, verb, body, **other).status_code == 404
    assert ask(api, row, "start", **key).status_code == 404
    again = ask(api, row, verb, body, **key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    if body:
        answer = ask(api, row, verb, {"enabled": False}, **key)
        assert (answer.status_code, answer.json()["type"]) == (422, "idempotency_key_reused")
    assert Operation.objects.count() == 1


def test_a_key_shows_no_operation_that_may_not_be_seen_any_more(api: APIClient, ada: User) -> None:
    row, key = domain(state="shutoff"), {"Idempotency-Key": "k"}
    assert ask(api, row, "undefine", **key).status_code == 202
    pk = row.pk
    row.delete()
    row.pk = pk
    ada.is_superuser = False
    ada.save()
    granted(ada, Role.ADMINISTRATOR, owned_host())
    assert ask(api, row, "undefine", **key).status_code == 404


def test_a_key_that_is_too_long_is_400(api: APIClient) -> None:
    answer = ask(api, domain(), "start", **{"Idempotency-Key": "x" * 256})
    assert answer.status_code == 400
    assert not Operation.objects.exists()


def test_a_refusal_does_not_use_up_the_key(api: APIClient) -> None:
    row = domain(state="running")
    key = {"Idempotency-Key": "k"}
    assert ask(api, row, "start", **key).status_code == 409
    Domain.objects.update(state="shutoff")
    assert ask(api, row, "start", **key).status_code == 202


# What is accepted.


def test_a_silent_host_is_no_refusal(api: APIClient) -> None:
    row = domain(state="shutoff")
    Host.objects.update(last_seen=timezone.now() - timedelta(hours=1), missed_probes=9)
    assert ask(api, row, "start").status_code == 202


@pytest.mark.parametrize(
    ("verb", "state", "seconds"),
    [
        *[("start", "shutoff", 60), ("shutdown", "running", 300), ("reboot", "running", 60)],
        *[("reset", "running", 60), ("destroy", "running", 60), ("suspend", "running", 60)],
        *[("resume", "paused", 60), ("save", "running", 3600), ("restore", "shutoff", 600)],
        ("undefine", "shutoff", 60),
    ],
)
def test_each_verb_is_accepted(api: APIClient, verb: str, state: str, seconds: int) -> None:
    row = domain(state=state, has_managed_save=True)
    answer = ask(api, row, verb)
    assert answer.status_code == 202
    operation = Operation.objects.get()
    assert (operation.verb, operation.target_uuid, operation.args) == (verb, row.uuid, {})
    assert operation.deadline - operation.created_at == timedelta(seconds=seconds)


def test_texts_and_autostart_are_operations_too(api: APIClient) -> None:
    row = domain()
    assert ask(api, row, "autostart", {"enabled": True}).status_code == 202
    body = {"title": "Web", "description": "one\ntwo", "tags": ["b", "a", "b"]}
    assert api.patch(f"/api/domains/{row.pk}/", body, format="json").status_code == 202
    last, first = Operation.objects.all()
    assert (first.verb, first.args) == ("autostart", {"enabled": True})
    assert (last.verb, last.args) == ("metadata", body | {"tags": ["a", "b"]})


def test_a_definition_is_an_operation_on_the_host(api: APIClient) -> None:
    host = owned_host(hostname="hv-01")
    answer = api.post(f"/api/hosts/{host.pk}/domains/", DEFINITION, format="json")
    assert answer.status_code == 202
    assert answer.json()["target"] == {
        "type": "host",
        "id": host.pk,
        "uuid": str(host.uuid),
        "name": "hv-01",
    }
    assert Operation.objects.get().args == DEFINITION


def test_an_operation_has_the_fields_of_the_contract(api: APIClient, ada: User) -> None:
    host = owned_host(hostname="hv-01")
    row = domain(host, name="web")
    answer = ask(api, row, "start")
    shown = answer.json()
    assert set(shown) == FIELDS
    assert shown["target"] == {"type": "domain", "id": row.pk, "uuid": str(row.uuid), "name": "web"}
    assert shown["host"] == {"id": host.pk, "hostname": "hv-01"}
    assert (shown["actor"], shown["state"], shown["attempts"]) == ("ada", "accepted", 0)
    assert [event["state"] for event in shown["events"]] == ["accepted"]
    assert api.get(answer["Location"]).json() == shown
    (listed,) = api.get("/api/operations/").json()["results"]
    assert listed == {name: value for name, value in shown.items() if name != "events"}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state=accepted", 2),
        ("state=failed", 0),
        ("verb=start", 1),
        ("actor=ada", 2),
        ("search=web", 1),
        ("search=nobody", 0),
        ("ordering=-target_name", 2),
    ],
)
def test_operations_are_filtered(api: APIClient, query: str, count: int) -> None:
    ask(api, domain(name="web"), "start")
    ask(api, domain(name="db", state="running"), "destroy")
    assert api.get(f"/api/operations/?{query}").json()["count"] == count


def test_operations_are_neither_written_nor_deleted(api: APIClient) -> None:
    location = ask(api, domain(), "start")["Location"]
    for method in (api.put, api.patch, api.delete):
        assert method(location).status_code == 405


def test_an_operation_is_cancelled(api: APIClient) -> None:
    location = ask(api, domain(), "start")["Location"]
    answer = api.post(f"{location}cancel/")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    again = api.post(f"{location}cancel/")
    assert (again.status_code, again.json()["type"]) == (409, "operation_ended")
