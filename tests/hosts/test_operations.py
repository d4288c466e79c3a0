"""Operations: accepted once, moved forward only, and settled by their own host alone."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hosts import live, services
from hosts.choices import OPEN_STATES, OperationState, Trust
from hosts.errors import KeyReused, NotPossible
from hosts.models import Host, Operation
from hosts.payloads import operation_document
from hosts.services.operations import moves
from hosts.signals import domain_gone, domain_reported

from .factories import a_host, told_domain
from .journals import asked_for, fresh, moves_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

S = OperationState


def told(operation: Operation, state: str, **more: Any) -> dict[str, Any]:
    """What a daemon says of an operation."""
    known = {"id": str(operation.pk), "journal_id": "j", "verb": operation.verb, "state": state}
    return known | {"progress": None, "result": {}, "problem": None, "age": 1} | more


def sent(host: Host, actor: User, **more: Any) -> Operation:
    """An operation that its daemon may have."""
    operation = asked_for(host, actor, **more)
    Operation.objects.filter(pk=operation.pk).update(sent_at=timezone.now())
    return fresh(operation)


def test_a_key_used_for_something_else_is_refused(ada: User) -> None:
    host = a_host()
    asked_for(host, ada, key="k", fingerprint="one")
    with pytest.raises(KeyReused):
        services.replayed(ada, "k", "two")
    with pytest.raises(KeyReused):
        asked_for(host, ada, key="k", fingerprint="two")
    assert Operation.objects.count() == 1


def test_the_same_key_gives_the_same_operation_in_its_present_state(ada: User) -> None:
    host = a_host()
    first = asked_for(host, ada, key="k")
    moves.move(first, S.SENT)
    again = asked_for(host, ada, key="k")
    assert (again.pk, again.state) == (first.pk, S.SENT)
    assert Operation.objects.count() == 1


def test_keys_belong_to_who_uses_them(ada: User, sam: User) -> None:
    host = a_host()
    assert asked_for(host, ada, key="k").pk != asked_for(host, sam, key="k").pk
    assert asked_for(host, ada).pk != asked_for(host, ada).pk


@pytest.mark.parametrize("late", ["received", "started", "failed", "cancelled", "expired", "unknown"])
def test_a_verdict_is_never_taken_back(ada: User, late: str) -> None:
    operation = sent(a_host(), ada)
    assert services.settle(operation, operation_document(told(operation, "done")))
    assert not services.settle(operation, operation_document(told(operation, late)))
    assert moves_of(operation) == [S.ACCEPTED, S.SUCCEEDED]


def test_an_operation_never_moves_backwards(ada: User) -> None:
    operation = sent(a_host(), ada)
    for state in ("started", "received", "started", "done", "received"):
        services.settle(operation, operation_document(told(operation, state)))
    assert moves_of(operation) == [S.ACCEPTED, S.RUNNING, S.SUCCEEDED]


def test_progress_grows_and_moves_nothing(ada: User) -> None:
    operation = sent(a_host(), ada, verb="save")
    for per_cent in (10, 40, 20, None):
        services.settle(operation, operation_document(told(operation, "started", progress=per_cent)))
    assert fresh(operation).progress == 40
    assert moves_of(operation) == [S.ACCEPTED, S.RUNNING]


def test_another_host_does_not_speak_of_it(ada: User) -> None:
    operation = sent(a_host(), ada)
    assert not services.settle_report(a_host().pk, told(operation, "done"))
    assert fresh(operation).is_open


def test_a_host_does_not_speak_of_what_it_was_never_given(ada: User) -> None:
    host = a_host()
    operation = asked_for(host, ada)
    assert not services.settle_report(host.pk, told(operation, "failed"))
    assert fresh(operation).state == S.ACCEPTED


@pytest.mark.parametrize(
    "lie",
    [
        {"state": "finished"},
        {"state": 3},
        {"id": "x"},
        {"progress": 101},
        {"progress": True},
        {"problem": {"type": "<b>"}},
        {"problem": "bad"},
        {"result": {"domain": {"uuid": "x"}}},
        {"result": []} | {"state": None},
        {"result": {"uuid": 5}},
    ],
)
def test_what_is_no_document_is_not_heard(ada: User, lie: dict[str, Any]) -> None:
    host = a_host()
    operation = sent(host, ada)
    assert not services.settle_report(host.pk, told(operation, "done") | lie)
    assert fresh(operation).is_open


def test_a_row_of_another_domain_is_not_mirrored(ada: User) -> None:
    host = a_host()
    operation = sent(host, ada)
    heard: list[Any] = []
    domain_reported.connect(receiver := lambda **told: heard.append(told))
    try:
        services.settle_report(host.pk, told(operation, "done", result={"domain": told_domain()}))
    finally:
        domain_reported.disconnect(receiver)
    assert fresh(operation).state == S.SUCCEEDED
    assert heard == []


def test_the_row_of_its_domain_is_passed_on(ada: User) -> None:
    host = a_host()
    operation = sent(host, ada)
    heard: list[Any] = []
    domain_reported.connect(receiver := lambda **told: heard.append(told))
    try:
        row = told_domain(uuid=str(operation.target_uuid))
        services.settle_report(host.pk, told(operation, "done", result={"domain": row}))
    finally:
        domain_reported.disconnect(receiver)
    assert heard[0]["host"] == host
    assert [facts["uuid"] for facts in heard[0]["domains"]] == [operation.target_uuid]
    assert fresh(operation).result == {"state": "running"}


def test_an_undefined_domain_is_gone(ada: User) -> None:
    operation = sent(a_host(), ada, verb="undefine")
    heard: list[Any] = []
    domain_gone.connect(receiver := lambda **told: heard.append(told["uuids"]))
    try:
        services.settle(operation, operation_document(told(operation, "done", result={"domain": None})))
    finally:
        domain_gone.disconnect(receiver)
    assert heard == [[operation.target_uuid]]


def test_a_failure_keeps_the_words_of_the_daemon(ada: User) -> None:
    operation = sent(a_host(), ada)
    why = {"type": "wrong_state", "detail": "the domain\x00 runs\x1b[2J"}
    services.settle(operation, operation_document(told(operation, "failed", problem=why)))
    operation = fresh(operation)
    assert operation.problem == {"type": "wrong_state", "detail": "the domain runs[2J"}
    assert operation.finished_at is not None
    assert operation.events.last().detail == "the domain runs[2J"  # type: ignore[union-attr]  # there is one


def test_what_was_sent_needs_the_host_to_be_cancelled(ada: User) -> None:
    operation = sent(a_host(), ada)
    operation = services.cancel(operation, actor=ada)
    assert operation.is_open
    assert operation.cancel_asked_at is not None


@pytest.mark.parametrize("verb", ["start", "destroy", "define"])
def test_what_runs_is_not_cancelled_but_where_libvirt_can(ada: User, verb: str) -> None:
    operation = sent(a_host(), ada, verb=verb)
    moves.move(operation, S.RUNNING)
    with pytest.raises(NotPossible) as caught:
        services.cancel(operation, actor=ada)
    assert caught.value.problem == "not_cancellable"


@pytest.mark.parametrize("verdict", [state for state in S if state not in OPEN_STATES])
def test_what_has_ended_is_not_cancelled(ada: User, verdict: OperationState) -> None:
    operation = asked_for(a_host(), ada)
    moves.move(operation, verdict)
    with pytest.raises(NotPossible) as caught:
        services.cancel(operation, actor=ada)
    assert caught.value.problem == "operation_ended"
    assert fresh(operation).state == verdict


def test_what_was_not_sent_is_cancelled_at_once(ada: User) -> None:
    operation = services.cancel(asked_for(a_host(), ada), actor=ada)
    assert operation.state == S.CANCELLED
    assert operation.due_at == moves.NEVER
    assert "ada" in operation.events.last().detail  # type: ignore[union-attr]  # there is one


def test_pages_hear_of_each_move(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[live.News] = []
    monkeypatch.setattr(moves, "publish_all", heard.extend)
    host = a_host()
    operation = asked_for(host, ada, target_id=7, here=False)
    moves.move(operation, S.SENT)
    moves.move(operation, S.SENT)
    assert (
        heard
        == [("operation.changed", str(operation.pk), ("fleet", "operations", f"host.{host.pk}", "domain.7"))]
        * 2
    )


def test_the_row_outlives_its_host_and_its_actor(ada: User) -> None:
    host = a_host(trust=Trust.DENIED, hostname="hv-01")
    operation = asked_for(host, ada)
    services.forget(host)
    ada.delete()
    operation = Operation.objects.get(pk=operation.pk)
    assert (operation.host, operation.host_name, operation.actor_name) == (None, "hv-01", "ada")


def test_it_works(ada: User) -> None:
    host = a_host()
    operation = asked_for(host, ada, target_uuid=uuid4(), args={"enabled": True}, verb="autostart")
    assert (operation.state, operation.attempts, operation.sent_at) == (S.ACCEPTED, 0, None)
    assert operation.deadline - operation.created_at == timedelta(seconds=60)
    assert moves_of(operation) == [S.ACCEPTED]
