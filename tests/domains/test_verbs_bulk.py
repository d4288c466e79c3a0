"""One verb on many domains: what is refused, left out, released in order, stopped and cancelled."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks
from rest_framework.test import APIClient

from access.choices import Role
from access.models import Grant
from domains import services
from domains.models import Domain
from domains.services import mirror, selecting
from hosts.choices import OperationState
from hosts.live import News
from hosts.models import Host, Operation, OperationEvent
from hosts.services import cancel, sweep
from hosts.services.operations import bulk as releasing
from hosts.services.operations import moves
from hosts.services.operations.moves import NEVER
from hosts.services.operations.settling import end
from tests.access.granting import granted

from .factories import domain, facts, owned_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

S = OperationState
URL = "/api/domains/bulk/"


def domains(count: int = 3, host: Host | None = None, **fields: Any) -> list[Domain]:
    host = host or owned_host()
    mirror(host, [facts(name=f"web-{number:04}", **fields) for number in range(count)])
    return list(Domain.objects.filter(host=host).select_related("host").order_by("name"))


def begun(ada: User, rows: list[Domain], **how: Any) -> Operation:
    """A bulk start that was accepted, and whose first children were released."""
    parent = services.bulk(verb="start", selector={"ids": [row.pk for row in rows]}, actor=ada, **how)
    releasing.advance(parent.pk)
    return parent


def released(parent: Operation) -> list[str]:
    rows = parent.children.exclude(due_at=NEVER, state=S.ACCEPTED).order_by("position")
    return list(rows.values_list("target_name", flat=True))


def finish(parent: Operation, position: int, state: OperationState = S.SUCCEEDED) -> Operation:
    """Let a child end, and its parent notice."""
    child = parent.children.get(position=position)
    problem = None if state == S.SUCCEEDED else {"type": "internal_error", "detail": "."}
    assert end(child, state, problem=problem)  # type: ignore[arg-type]  # a Problem
    releasing.child_ended(parent.pk)
    parent.refresh_from_db()
    return parent


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "verb"),
        ({"verb": "fly"}, "verb"),
        ({"verb": "metadata"}, "verb"),
        ({"verb": "autostart"}, "verb"),
        ({"selector": {}}, "selector"),
        ({"selector": {"ids": []}}, "selector"),
        ({"selector": {"ids": [], "state": "shutoff"}}, "selector"),
        ({"selector": {"ids": ["x"]}}, "selector"),
        ({"selector": {"ids": [10**30]}}, "selector"),
        ({"selector": {"ids": [1] * 5001}}, "selector"),
        ({"selector": {"state": "flying"}}, "selector"),
        ({"selector": []}, "selector"),
        ({"selector": {"state": "shutoff", "hots": 1}}, "selector"),
        ({"dryrun": True}, "dryrun"),
        ({"order": "random"}, "order"),
        ({"stagger": -1}, "stagger"),
        ({"stagger": 3601}, "stagger"),
        ({"dry_run": "perhaps"}, "dry_run"),
    ],
)
def test_what_cannot_be_is_400(api: APIClient, body: dict[str, Any], field: str) -> None:
    good = {"verb": "start", "selector": {"state": "shutoff"}} if body else {"selector": {"state": "shutoff"}}
    answer = api.post(URL, good | body, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Operation.objects.exists()


def test_too_many_domains_are_refused(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "MOST_DOMAINS", 2)
    domains(3)
    answer = api.post(URL, {"verb": "start", "selector": {"state": "shutoff"}}, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["selector"])


def test_when_nothing_is_left_to_do_it_is_refused_and_says_why(api: APIClient) -> None:
    row = domain(name="web", state="running")
    body = {"verb": "start", "selector": {"ids": [row.pk, 999_999]}}
    answer = api.post(URL, body, format="json")
    assert (answer.status_code, answer.json()["type"]) == (409, "nothing_to_do")
    words = [(left["id"], left["problem"]["type"]) for left in answer.json()["skipped"]]
    assert words == [(row.pk, "wrong_state"), (999_999, "not_found")]
    assert not Operation.objects.exists()


def test_a_dry_run_changes_nothing(api: APIClient) -> None:
    off, on = domain(name="off"), domain(name="on", state="running")
    body = {"verb": "start", "selector": {"ids": [on.pk, off.pk]}, "dry_run": True}
    answer = api.post(URL, body, format="json")
    assert answer.status_code == 200
    assert [row["name"] for row in answer.json()["chosen"]] == ["off"]
    assert [row["name"] for row in answer.json()["skipped"]] == ["on"]
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"host": "alpha"}, ["db", "web"]),
        ({"state": "shutoff"}, ["db", "other", "web"]),
        ({"tag": "prod"}, ["other", "web"]),
        ({"tag": "prod", "host": "alpha"}, ["web"]),
        ({"ids": [], "host": "alpha"}, []),
    ],
)
def test_a_selector_means_what_fits_all_of_it(ada: User, selector: dict[str, Any], names: list[str]) -> None:
    alpha = owned_host(hostname="alpha")
    domain(alpha, name="web", tags=["prod"])
    domain(alpha, name="db", tags=["pro"])
    domain(name="other", tags=["prod"])
    if "host" in selector:
        selector = selector | {"host": alpha.pk}
    plan = services.plan(verb="start", selector=selector, actor=ada)  # type: ignore[arg-type]  # a Selector
    assert [row.name for row in plan.chosen] == names


@pytest.mark.parametrize(
    ("order", "names"),
    [("given", "cab"), ("name", "abc"), ("-name", "cba"), ("host", "bca")],
)
def test_they_go_in_order(ada: User, order: Any, names: str) -> None:
    first, second = owned_host(hostname="1"), owned_host(hostname="2")
    rows = {name: domain(host, name=name) for name, host in (("a", second), ("b", first), ("c", first))}
    ids = [rows[name].pk for name in "cab"]
    parent = services.bulk(verb="start", selector={"ids": ids}, order=order, actor=ada)
    assert "".join(child.target_name for child in parent.children.order_by("position")) == names


def test_the_same_key_gives_the_same_parent(ada: User) -> None:
    rows = domains()
    ids = [row.pk for row in rows]
    first = services.bulk(verb="start", selector={"ids": ids}, actor=ada, key="k")
    Domain.objects.update(state="running")
    assert services.bulk(verb="start", selector={"ids": ids}, actor=ada, key="k").pk == first.pk
    assert Operation.objects.filter(parent=None).count() == 1


def test_at_most_sixteen_at_once_begin_on_a_host(ada: User) -> None:
    parent = begun(ada, [*domains(20), *domains(2)])
    assert len(released(parent)) == 16 + 2
    finish(parent, 3)
    assert len(released(parent)) == 17 + 2


def test_with_a_stagger_they_begin_one_by_one(ada: User) -> None:
    parent = begun(ada, domains(3), stagger=60)
    releasing.advance(parent.pk)
    assert released(parent) == ["web-0000"]
    finish(parent, 0)
    assert released(parent) == ["web-0000"]
    Operation.objects.filter(pk=parent.pk).update(due_at=timezone.now())
    sweep()
    assert released(parent) == ["web-0000", "web-0001"]


def test_a_clock_that_was_set_back_does_not_stop_a_stagger(ada: User) -> None:
    parent = begun(ada, domains(3), stagger=60)
    finish(parent, 0)
    Operation.objects.filter(pk=parent.pk).update(due_at=timezone.now() + timedelta(hours=1))
    sweep()
    assert released(parent) == ["web-0000", "web-0001"]


def test_the_deadline_counts_from_the_release(ada: User) -> None:
    parent = begun(ada, domains(3), stagger=60)
    child, waiting = parent.children.order_by("position")[:2]
    assert 50 < (child.deadline - timezone.now()).total_seconds() <= 60
    assert waiting.deadline == parent.deadline
    assert 350 < (parent.deadline - timezone.now()).total_seconds() <= 360


@pytest.mark.parametrize("state", [S.FAILED, S.EXPIRED, S.UNKNOWN, S.CANCELLED])
def test_the_first_failure_stops_those_that_have_not_begun(ada: User, state: OperationState) -> None:
    parent = begun(ada, domains(4), stop_on_failure=True)
    assert released(parent) == ["web-0000"]
    finish(parent, 0)
    assert released(parent) == ["web-0000", "web-0001"]
    parent = finish(parent, 1, state)
    states = parent.children.order_by("position").values_list("state", "problem__type")
    assert list(states) == [
        (S.SUCCEEDED, None),
        (state, "internal_error"),
        (S.CANCELLED, "stopped_by_failure"),
        (S.CANCELLED, "stopped_by_failure"),
    ]
    assert (parent.state, parent.progress) == (S.FAILED, 100)
    assert parent.problem == {"type": "not_all_succeeded", "detail": "3 of 4 did not succeed."}


def test_what_has_no_turn_in_time_is_not_begun(ada: User) -> None:
    parent = begun(ada, domains(2), stagger=60)
    Operation.objects.filter(pk=parent.pk).update(deadline=timezone.now())
    sweep()
    assert parent.children.get(position=1).state == S.EXPIRED


def test_to_cancel_the_parent_cancels_what_has_not_begun(ada: User) -> None:
    parent = begun(ada, domains(18))
    begun_child = parent.children.get(position=0)
    Operation.objects.filter(pk=begun_child.pk).update(sent_at=timezone.now(), state=S.RUNNING)
    parent = cancel(parent, actor=ada)
    assert (parent.state, parent.children.filter(state=S.CANCELLED).count()) == (S.RUNNING, 17)
    parent = finish(parent, 0)
    assert (parent.state, parent.result["states"]) == (S.CANCELLED, {"cancelled": 17, "succeeded": 1})


def told_to(news: list[News], group: str) -> set[Any]:
    """The operations of which this group heard."""
    return {item.id for item in news if group in item.groups}


def test_of_many_children_that_move_at_once_lists_hear_as_of_one(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*domains(30), *domains(30)]
    parent = begun(ada, rows)
    child = parent.children.get(target_id=rows[0].pk)
    heard: list[News] = []
    monkeypatch.setattr(moves, "publish_all", heard.extend)
    cancel(parent, actor=ada)
    assert parent.children.filter(state=S.CANCELLED).count() == 60
    for group in ("fleet", "operations", f"host.{child.host_id}"):
        assert told_to(heard, group) == {str(parent.pk)}
    assert told_to(heard, f"domain.{child.target_id}") == {str(child.pk)}


def test_of_some_children_that_move_at_once_each_is_told(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = begun(ada, domains(50))
    heard: list[News] = []
    monkeypatch.setattr(moves, "publish_all", heard.extend)
    cancel(parent, actor=ada)
    children = {str(pk) for pk in parent.children.values_list("pk", flat=True)}
    assert told_to(heard, "fleet") == {str(parent.pk), *children}


def test_what_was_released_and_not_sent_is_cancelled_in_a_fixed_number_of_queries(
    ada: User, django_assert_max_num_queries: Any
) -> None:
    parent = begun(ada, [*domains(16), *domains(16)])
    with django_assert_max_num_queries(25):
        parent = cancel(parent, actor=ada)
    assert (parent.state, parent.result["states"]) == (S.CANCELLED, {"cancelled": 32})
    assert not parent.children.filter(due_at__lt=NEVER).exists()


def test_a_child_of_a_forgotten_host_does_not_hold_up_the_rest(ada: User) -> None:
    rows = domains(2)
    parent = services.bulk(verb="start", selector={"ids": [row.pk for row in rows]}, actor=ada)
    Host.objects.all().delete()
    sweep()
    sweep()
    releasing.advance(parent.pk)
    parent.refresh_from_db()
    assert parent.state == S.FAILED
    assert set(parent.children.values_list("problem__type", flat=True)) == {"host_not_owned"}


def take_grant(sam: User, rows: list[Domain]) -> None:
    Grant.objects.filter(object_id=rows[1].pk).delete()


def disable(sam: User, rows: list[Domain]) -> None:
    User.objects.filter(pk=sam.pk).update(is_active=False)


def delete(sam: User, rows: list[Domain]) -> None:
    sam.delete()


@pytest.mark.parametrize(
    ("meanwhile", "begins"),
    [
        (take_grant, ["web-0000", "web-0002"]),
        (disable, ["web-0000"]),
        (delete, ["web-0000"]),
    ],
)
def test_what_he_may_do_no_more_when_its_turn_comes_is_not_begun(
    sam: User, meanwhile: Callable[[User, list[Domain]], None], begins: list[str]
) -> None:
    rows = domains(3)
    for row in rows:
        granted(sam, Role.OPERATOR, row)
    parent = begun(sam, rows, stagger=60)
    meanwhile(sam, rows)
    for _ in rows:
        Operation.objects.filter(pk=parent.pk).update(due_at=timezone.now())
        sweep()
    assert [name for name in released(parent) if name in begins] == begins
    ended = parent.children.filter(state=S.CANCELLED, problem__type="not_granted")
    assert ended.count() == 3 - len(begins)


def test_when_nothing_is_left_that_he_may_do_it_ends_at_once(sam: User) -> None:
    rows = domains(2)
    for row in rows:
        granted(sam, Role.OPERATOR, row)
    parent = begun(sam, rows, stagger=60)
    take_grant(sam, rows)
    finish(parent, 0)
    Operation.objects.filter(pk=parent.pk).update(due_at=timezone.now())
    releasing.advance(parent.pk)
    parent.refresh_from_db()
    assert parent.state == S.FAILED


def test_what_was_left_out_is_told(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "REASONS_KEPT", 2)
    domains(3, state="running")
    domains(1)
    parent = services.bulk(verb="start", selector={"ids": _ids()}, actor=ada)
    assert (len(parent.result["skipped"]), parent.result["skipped_total"]) == (2, 3)
    assert parent.args["children"] == 1


def _ids() -> list[int]:
    return list(Domain.objects.values_list("pk", flat=True))


def test_the_queries_do_not_grow_with_each_domain(ada: User, django_assert_max_num_queries: Any) -> None:
    rows = domains(400)
    with django_assert_max_num_queries(50):
        begun(ada, rows)
    assert OperationEvent.objects.count() == 402


def test_it_works(api: APIClient, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> None:
    rows = domains(4)
    running = domain(state="running")
    body = {"verb": "start", "selector": {"ids": [row.pk for row in [*rows, running]]}}
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.post(URL, body, format="json")
    assert answer.status_code == 202
    shown = answer.json()
    assert shown["target"] == {"type": "selection", "id": None, "uuid": None, "name": "4 domains"}
    assert [left["name"] for left in shown["result"]["skipped"]] == [running.name]
    parent = Operation.objects.get(parent=None)
    assert parent.state == S.RUNNING
    children = api.get(f"/api/operations/?parent={parent.pk}&ordering=position").json()["results"]
    assert [child["target"]["name"] for child in children] == [row.name for row in rows]
    assert {child["parent"] for child in children} == {str(parent.pk)}
    for position in range(4):
        parent = finish(parent, position)
        assert parent.progress == 25 * (position + 1)
    assert (parent.state, parent.problem) == (S.SUCCEEDED, None)
    assert json.loads(api.get(answer["Location"]).content)["result"]["states"] == {"succeeded": 4}
