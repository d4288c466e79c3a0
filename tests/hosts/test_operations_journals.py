"""Journals that are lost: what one may have held is never sent again, and only what is seen is a verdict."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.utils import timezone

from hosts import services
from hosts.choices import OperationState, TargetType, Trust
from hosts.models import Host
from hosts.services.operations import doubts, holding
from hosts.services.operations.observing import is_visible
from hosts.signals import domain_reported

from .factories import told_domain
from .journals import Journal, asked_for, carried, due_now, fresh, word
from .peers import problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server", "dialable")]

S = OperationState


@pytest.mark.parametrize(
    ("verb", "args", "found"),
    [
        ("start", {}, {"state": "crashed"}),
        ("start", {}, {"state": "shutoff"}),
        ("start", {}, {"state": "unknown"}),
        ("restore", {}, {"state": "unknown"}),
        ("shutdown", {}, {"state": "running"}),
        ("destroy", {}, {"state": "unknown"}),
        ("destroy", {}, {"state": "crashed", "id": 3}),
        ("save", {}, {"state": "shutoff", "has_managed_save": False}),
        ("save", {}, {"state": "running", "has_managed_save": True}),
        ("suspend", {}, {"state": "running"}),
        ("resume", {}, {"state": "paused"}),
        ("autostart", {"enabled": True}, {"autostart": False}),
        ("autostart", {"enabled": False}, {"autostart": True}),
        ("metadata", {"title": "x", "tags": ["a"]}, {"title": "x", "tags": ["b"]}),
        ("undefine", {}, {"state": "shutoff"}),
        # Of these no state tells whether they were done.
        ("reboot", {}, {"state": "running"}),
        ("reset", {}, {"state": "running"}),
        ("define", {}, {"state": "running"}),
    ],
)
def test_what_does_not_show_the_effect_is_no_verdict(
    verb: str, args: dict[str, Any], found: dict[str, Any]
) -> None:
    domain: Any = {"state": "shutoff", "has_managed_save": False, "autostart": False} | found
    assert not is_visible(verb, args, domain)


@pytest.mark.parametrize("verb", ["start", "destroy", "define", "reboot"])
def test_a_domain_that_is_gone_shows_no_other_effect(verb: str) -> None:
    assert not is_visible(verb, {}, None)


@pytest.mark.parametrize(
    ("verb", "args", "found"),
    [
        ("start", {}, {"state": "paused"}),
        ("shutdown", {}, {"state": "crashed", "id": None}),
        ("resume", {}, {"state": "blocked"}),
        ("save", {}, {"state": "crashed", "id": None, "has_managed_save": True}),
        ("autostart", {"enabled": False}, {"autostart": False}),
    ],
)
def test_an_effect_may_show_in_more_than_one_way(
    verb: str, args: dict[str, Any], found: dict[str, Any]
) -> None:
    domain: Any = {"has_managed_save": False} | found
    assert is_visible(verb, args, domain)


def answering(journal: Journal, path: str, status: int, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the daemon refuse whatever is asked at `path`."""
    answer = journal.answer

    def refuse(method: str, asked: str, body: bytes) -> bytes:
        return problem(status, word) if asked.startswith(path) else answer(method, asked, body)

    monkeypatch.setattr(journal, "answer", refuse)


def test_a_look_that_fails_is_no_verdict(
    host: Host, journal: Journal, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put off, and the others of this host with it."""
    journal.ends = "started"
    operation = carried(asked_for(host, ada))
    journal.lose()
    with monkeypatch.context() as patch:
        answering(journal, "/v1/domains/", 503, "libvirt_down", patch)
        begun = timezone.now()
        assert not services.carry(due_now(operation).pk)
    operation = fresh(operation)
    assert operation.state == S.RUNNING
    assert timedelta(seconds=0.5) < operation.due_at - begun < timedelta(seconds=5)
    assert services.carry(due_now(operation).pk)
    assert word(fresh(operation)) == "journal_changed"


def test_what_the_daemon_never_had_is_sent_again_in_a_moment(host: Host, journal: Journal, ada: User) -> None:
    journal.faults = ["drop_request", "drop_request"]
    operation = carried(asked_for(host, ada))
    assert operation.sent_at is not None
    with time_machine.travel(timezone.now() + timedelta(seconds=1), tick=False):
        held = holding.take(operation.pk)
        assert held is not None
        assert doubts.unknown_there(held)
        operation = fresh(operation)
        assert operation.due_at - timezone.now() == holding.pause_of(operation)
    assert (operation.state, operation.sent_at, operation.journal_id) == (S.ACCEPTED, None, "")


def test_what_is_seen_is_mirrored(host: Host, journal: Journal, ada: User) -> None:
    """The page of the domain is as good as the verdict, whatever that is."""
    journal.ends = "started"
    operation = carried(asked_for(host, ada, verb="reboot"))
    row = told_domain(uuid=str(operation.target_uuid), state="paused")
    journal.domains[row["uuid"]] = row
    journal.lose()
    heard: list[dict[str, Any]] = []
    domain_reported.connect(receiver := lambda **told: heard.append(told))
    try:
        operation = carried(due_now(operation))
    finally:
        domain_reported.disconnect(receiver)
    assert [(told["host_id"], told["domains"][0]["state"]) for told in heard] == [(host.pk, "paused")]
    assert word(operation) == "journal_changed"


def test_a_verb_of_a_host_is_never_observed(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    asked: dict[str, Any] = {"target_type": TargetType.HOST, "target_uuid": host.uuid, "verb": "undefine"}
    operation = carried(asked_for(host, ada, **asked))
    journal.lose()
    operation = carried(due_now(operation))
    assert (operation.state, word(operation)) == (S.UNKNOWN, "journal_changed")
    assert not any(path.startswith("/v1/domains/") for _, path in journal.requests)


def test_what_another_carrier_has_by_now_is_left_to_it(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    operation = carried(asked_for(host, ada))
    journal.lose()
    held = holding.take(due_now(operation).pk)
    assert held is not None
    due_now(operation)
    assert doubts.unknown_there(held)
    assert fresh(operation).state == S.RUNNING
    assert not any(path == "/v1/host" for _, path in journal.requests)


def test_a_host_that_is_given_up_meanwhile_leaves_its_operation_unknown(
    host: Host, journal: Journal, ada: User
) -> None:
    journal.ends = "started"
    operation = carried(asked_for(host, ada))
    held = holding.take(due_now(operation).pk)
    assert held is not None
    assert held.operation.host is not None
    held.operation.host.trust = Trust.RETIRED
    assert doubts.unknown_there(held)
    assert (fresh(operation).state, word(fresh(operation))) == (S.UNKNOWN, "host_not_owned")


def test_a_new_journal_is_noted_when_nothing_was_sent_before(host: Host, journal: Journal, ada: User) -> None:
    journal.lose()
    operation = carried(asked_for(host, ada, verb="reboot"))
    assert (operation.state, operation.sent_at) == (S.ACCEPTED, None)
    host.refresh_from_db()
    assert host.journal_id == journal.journal_id
    operation = carried(due_now(operation))
    assert (operation.state, operation.journal_id) == (S.SUCCEEDED, journal.journal_id)
    assert journal.ran == [str(operation.pk)]


@pytest.mark.parametrize("verb", ["reboot", "reset", "start"])
@pytest.mark.parametrize("answered", [True, False])
def test_what_a_lost_journal_may_have_held_is_never_sent_again(
    host: Host, journal: Journal, ada: User, verb: str, *, answered: bool
) -> None:
    journal.ends = "started"
    journal.faults = [] if answered else ["drop_answer", "drop_answer"]
    operation = carried(asked_for(host, ada, verb=verb))
    row = told_domain(uuid=str(operation.target_uuid), state="shutoff", id=None)
    journal.domains[row["uuid"]] = row
    journal.lose()
    operation = carried(due_now(operation))
    assert (operation.state, word(operation)) == (S.UNKNOWN, "journal_changed")
    assert journal.ran == [str(operation.pk)]


@pytest.mark.parametrize(
    ("verb", "args", "state"),
    [
        ("start", {}, {"state": "running"}),
        ("destroy", {}, {"state": "shutoff"}),
        ("shutdown", {}, {"state": "shutoff"}),
        ("suspend", {}, {"state": "paused"}),
        ("resume", {}, {"state": "running"}),
        ("save", {}, {"state": "shutoff", "has_managed_save": True}),
        ("restore", {}, {"state": "running"}),
        ("autostart", {"enabled": True}, {"autostart": True}),
        ("metadata", {"title": "x", "tags": ["a"]}, {"title": "x", "metadata": {"tags": ["a"]}}),
    ],
)
def test_an_effect_that_is_there_is_a_verdict_without_a_journal(
    host: Host, journal: Journal, ada: User, verb: str, args: dict[str, Any], state: dict[str, Any]
) -> None:
    journal.ends = "started"
    operation = carried(asked_for(host, ada, verb=verb, args=args))
    row = told_domain(uuid=str(operation.target_uuid)) | state
    journal.domains[row["uuid"]] = row
    journal.lose()
    operation = carried(due_now(operation))
    assert (operation.state, operation.problem, operation.result) == (S.SUCCEEDED, None, {"observed": True})


def test_a_domain_that_is_gone_was_undefined(host: Host, journal: Journal, ada: User) -> None:
    journal.ends = "started"
    operation = carried(asked_for(host, ada, verb="undefine"))
    journal.lose()
    assert carried(due_now(operation)).state == S.SUCCEEDED
