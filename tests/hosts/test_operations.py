"""Operations: accepted once, moved forward only, and settled by their own host alone."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks
from redis import Redis

from hosts import live, services
from hosts.choices import OPEN_STATES, OperationState, TargetType, Trust
from hosts.errors import KeyReused, NotPossible
from hosts.models import Host, Operation
from hosts.payloads import operation_document
from hosts.services.operations import moves
from hosts.signals import domain_gone, domain_reported

from .factories import a_host, told_domain
from .journals import asked_for, fresh, moves_of, word

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


def test_what_the_daemon_tells_of_its_work_is_kept(ada: User) -> None:
    operation = sent(a_host(), ada, verb="save")
    begun = timezone.now()
    services.settle(operation, operation_document(told(operation, "started", progress=10)))
    operation = fresh(operation)
    assert (operation.journal_id, operation.progress, operation.finished_at) == ("j", 10, None)
    assert operation.started_at is not None
    assert begun <= operation.started_at <= timezone.now()
    services.settle(operation, operation_document(told(operation, "done", progress=100)))
    ended = fresh(operation)
    # It began when it was first seen to run, and was sent when it was.
    assert (ended.started_at, ended.sent_at) == (operation.started_at, operation.sent_at)
    assert ended.finished_at is not None
    assert operation.started_at <= ended.finished_at <= timezone.now()
    assert (ended.journal_id, ended.progress) == ("j", 100)
    # From now on the daemon may be told that its verdict is stored.
    assert ended.due_at == ended.finished_at


@pytest.mark.parametrize("state", ["received", "failed", "expired", "cancelled", "unknown"])
def test_what_was_not_seen_to_run_has_no_beginning(ada: User, state: str) -> None:
    operation = sent(a_host(), ada)
    services.settle(operation, operation_document(told(operation, state)))
    assert fresh(operation).started_at is None


def test_a_daemon_without_a_journal_id_takes_none_away(ada: User) -> None:
    operation = sent(a_host(), ada)
    Operation.objects.filter(pk=operation.pk).update(journal_id="j-1")
    services.settle(fresh(operation), operation_document(told(operation, "received", journal_id="")))
    assert fresh(operation).journal_id == "j-1"


def test_a_success_has_no_problem_whatever_comes_with_it(ada: User) -> None:
    operation = sent(a_host(), ada)
    why = {"type": "wrong_state", "detail": "."}
    services.settle(operation, operation_document(told(operation, "done", problem=why)))
    operation = fresh(operation)
    assert (operation.state, operation.problem) == (S.SUCCEEDED, None)
    assert [event.detail for event in operation.events.all()] == ["", ""]


def test_what_a_definition_made_is_its_result(ada: User) -> None:
    made = told_domain(state="shutoff")
    result = {"uuid": made["uuid"], "xml_hash": "ab" * 32}
    host = a_host()
    operation = sent(host, ada, verb="define", target_type=TargetType.HOST, target_uuid=host.uuid)
    heard: list[Any] = []
    domain_reported.connect(receiver := lambda **told: heard.append(told["domains"][0]["uuid"]))
    try:
        document = told(operation, "done", result=result | {"domain": made})
        services.settle(operation, operation_document(document))
    finally:
        domain_reported.disconnect(receiver)
    assert fresh(operation).result == result | {"state": "shutoff"}
    assert heard == [UUID(made["uuid"])]


@pytest.mark.parametrize(("verb", "state"), [("undefine", "failed"), ("destroy", "done")])
def test_a_domain_is_not_gone_that_was_not_undefined(ada: User, verb: str, state: str) -> None:
    operation = sent(a_host(), ada, verb=verb)
    heard: list[Any] = []
    domain_gone.connect(receiver := lambda **told: heard.append(told["uuids"]))
    try:
        assert services.settle(operation, operation_document(told(operation, state)))
    finally:
        domain_gone.disconnect(receiver)
    assert heard == []


def test_progress_is_told_when_it_grows(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = sent(a_host(), ada, verb="save")
    heard: list[live.News] = []
    monkeypatch.setattr(moves, "publish_all", heard.extend)
    moved = [
        services.settle(operation, operation_document(told(operation, "started", progress=per_cent)))
        for per_cent in (0, 10, 10, 5, None, 11)
    ]
    assert moved == [True, True, False, False, False, True]
    assert [news.id for news in heard] == [str(operation.pk)] * 3


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
    assert heard[0]["host_id"] == host.pk
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
    assert (operation.state, word(operation)) == (S.CANCELLED, "cancelled")
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


def test_of_a_host_its_page_hears_and_no_domains(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[live.News] = []
    monkeypatch.setattr(moves, "publish_all", heard.extend)
    host = a_host()
    operation = asked_for(host, ada, target_type=TargetType.HOST, target_id=host.pk, verb="define")
    moves.move(operation, S.SENT)
    operation.host = None
    moves.move(operation, S.FAILED)
    assert [news.groups for news in heard] == [
        ("fleet", "operations", f"host.{host.pk}"),
        ("fleet", "operations"),
    ]


def test_a_move_is_a_line_of_the_timeline_with_its_reason(ada: User) -> None:
    operation = asked_for(a_host(), ada)
    assert moves.move(operation, S.SENT)
    assert operation.events.get(state=S.SENT).detail == ""
    begun = timezone.now()
    assert moves.move(operation, S.FAILED, detail="why", where=Q(sent_at=None))
    event = operation.events.get(state=S.FAILED)
    assert event.detail == "why"
    assert begun <= event.at <= timezone.now()


def test_what_is_not_as_it_must_be_does_not_move(ada: User) -> None:
    operation = sent(a_host(), ada)
    assert not moves.move(operation, S.FAILED, where=Q(sent_at=None))
    assert (fresh(operation).state, moves_of(operation)) == (S.ACCEPTED, [S.ACCEPTED])


def test_a_daemon_that_never_had_it_is_not_told_of_a_verdict(ada: User) -> None:
    never, had = asked_for(a_host(), ada), sent(a_host(), ada)
    for operation in (never, had):
        moves.move(operation, S.FAILED)
    assert fresh(never).due_at == moves.NEVER
    assert fresh(had).due_at == fresh(had).finished_at
    forgotten = sent(a_host(), ada)
    moves.move(forgotten, S.FAILED, sent_at=None)
    assert (fresh(forgotten).due_at, fresh(forgotten).sent_at) == (moves.NEVER, None)


def test_who_waits_is_woken_by_each_move(
    ada: User, redis_server: Redis, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    operation = asked_for(a_host(), ada)
    with redis_server.pubsub() as waiting:  # type: ignore[no-untyped-call]  # of redis
        waiting.subscribe(moves.channel_of(operation.pk))
        assert waiting.get_message(timeout=5) is not None
        with django_capture_on_commit_callbacks(execute=True):
            moves.move(operation, S.SENT)
        message = waiting.get_message(timeout=5)
    assert message is not None
    assert message["channel"].decode() == f"virshmanager:operation:{operation.pk}"


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
    assert operation.due_at == operation.created_at
    assert (operation.host, operation.host_name, operation.precondition) == (host, str(host), {})
    assert (operation.actor, operation.actor_name, operation.idempotency_key) == (ada, "ada", None)
    assert moves_of(operation) == [S.ACCEPTED]


def test_workers_carry_what_nobody_here_will(
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    sent_to: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr("celery.current_app.send_task", lambda name, **how: sent_to.append((name, how)))
    host = a_host()
    with django_capture_on_commit_callbacks(execute=True):
        asked_for(host, ada)
    assert sent_to == []
    with django_capture_on_commit_callbacks(execute=True):
        asked_for(host, ada, here=False, key="k")
        # The same again wakes nobody.
        asked_for(host, ada, here=False, key="k")
    assert sent_to == [("hosts.tasks.carry_host", {"args": [host.pk], "expires": 10, "retry": False})]
