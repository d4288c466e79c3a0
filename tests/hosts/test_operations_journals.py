"""Journals that are lost: what one may have held is never sent again, and only what is seen is a verdict."""

from typing import Any

import pytest
from django.contrib.auth.models import User

from hosts.choices import OperationState
from hosts.models import Host

from .factories import told_domain
from .journals import Journal, asked_for, carried, due_now, word

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server", "dialable")]

S = OperationState


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
