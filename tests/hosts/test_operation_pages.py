"""The journal on its pages: lists, timelines, plain words, cancelling. Refusals first."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from access.choices import Role
from hosts.choices import OperationState, TargetType
from hosts.models import Host, Operation, OperationEvent
from tests.access.granting import granted
from tests.domains.factories import domain

from .factories import a_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]


def text(browser: Client, path: str) -> str:
    return browser.get(path).content.decode()


def an_operation(host: Host | None = None, **more: Any) -> Operation:
    values: dict[str, Any] = {
        "host": host,
        "host_name": str(host or ""),
        "target_type": TargetType.DOMAIN,
        "target_id": 7,
        "target_name": "web-1",
        "verb": "start",
        "actor_name": "ada",
        "deadline": timezone.now() + timedelta(minutes=1),
    }
    return Operation.objects.create(**(values | more))


def test_one_that_has_ended_is_not_cancelled(browser: Client) -> None:
    operation = an_operation(state=OperationState.SUCCEEDED)
    page = browser.post(f"/operations/{operation.pk}/cancel/", follow=True).content.decode()
    assert "It has ended, and cannot be cancelled any more." in page


def test_what_has_begun_and_cannot_be_stopped_is_not_offered_to_be_cancelled(browser: Client) -> None:
    begun = an_operation(a_host(), verb="reboot", state=OperationState.RUNNING)
    assert "Cancel it" not in text(browser, f"/operations/{begun.pk}/")
    stoppable = an_operation(begun.host, verb="shutdown", state=OperationState.RUNNING)
    assert "Cancel it" in text(browser, f"/operations/{stoppable.pk}/")


def test_of_how_many_it_is_a_part_is_told_to_who_sees_them(
    browser: Client, stranger: Client, sam: User
) -> None:
    guest = domain()
    granted(sam, Role.VIEWER, guest)
    stranger.force_login(sam)
    parent = an_operation(target_type=TargetType.SELECTION, target_name="37 domains", target_id=None)
    part = an_operation(guest.host, parent=parent, target_id=guest.pk)
    pages = [text(client, f"/operations/{part.pk}/") for client in (browser, stranger)]
    assert ["37 domains" in page for page in pages] == [True, False]
    assert "web-1" in pages[1]


def test_one_that_its_host_did_not_take_says_that_it_is_tried_again(browser: Client) -> None:
    first, again = (an_operation(a_host(), attempts=attempts) for attempts in (1, 2))
    said = ["tried again by itself" in text(browser, f"/operations/{one.pk}/") for one in (first, again)]
    assert said == [False, True]


def test_cancelling_is_asked_first(browser: Client) -> None:
    operation = an_operation(a_host())
    assert "does not begin" in text(browser, f"/operations/{operation.pk}/cancel/")
    operation.refresh_from_db()
    assert operation.is_open


def test_one_that_was_not_sent_is_cancelled(browser: Client) -> None:
    operation = an_operation(a_host())
    answer = browser.post(f"/operations/{operation.pk}/cancel/", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert json.loads(answer["HX-Trigger"])["acted"]["text"] == "Its cancellation was asked for."
    assert Operation.objects.get().state == OperationState.CANCELLED


@pytest.mark.parametrize(
    ("state", "problem", "words"),
    [
        ("failed", {"type": "guest_did_not_stop", "detail": "waited 300 s"}, "force it off and lose"),
        ("failed", {"type": "internal_error", "detail": "cannot open file"}, "cannot open file"),
        ("failed", {"type": "new_word", "detail": "What the host says"}, "What the host says"),
        ("expired", {"type": "expired", "detail": "It came too late."}, "See that its host is online"),
        ("unknown", {"type": "interrupted", "detail": ""}, "may or may not have taken effect"),
        ("cancelled", None, "It was cancelled."),
    ],
)
def test_what_went_wrong_is_said_with_what_to_do_next(
    browser: Client, state: str, problem: dict[str, str] | None, words: str
) -> None:
    operation = an_operation(state=state, problem=problem)
    assert words in text(browser, f"/operations/{operation.pk}/")


def test_the_timeline_has_every_move_and_how_long_it_took(browser: Client) -> None:
    operation = an_operation(a_host(hostname="hv-01"), state="succeeded")
    start = operation.created_at
    for milliseconds, state in ((0, "accepted"), (12, "sent"), (1500, "succeeded")):
        at = start + timedelta(milliseconds=milliseconds)
        OperationEvent.objects.create(operation=operation, state=state, at=at)
    Operation.objects.update(finished_at=start + timedelta(milliseconds=1500))
    page = text(browser, f"/operations/{operation.pk}/")
    assert page.index("+0 ms") < page.index("+12 ms") < page.index("+1.5 s")
    assert '<a href="/domains/7/">web-1</a>' in page
    assert "hv-01" in page


def test_the_journal_shows_what_was_asked_in_one_go_as_one_line(browser: Client) -> None:
    parent = an_operation(target_type=TargetType.SELECTION, target_name="2 domains", target_id=None)
    for name, state in (("web-1", "succeeded"), ("web-2", "failed")):
        an_operation(parent=parent, target_name=name, state=state)
    page = text(browser, "/operations/")
    assert "Start 2 domains" in page
    assert "Start web-1" not in page
    assert '<span class="num">1</span> failed' in page
    assert "Start web-2" in text(browser, "/operations/?state=failed")
    assert "Start web-1" in text(browser, f"/operations/{parent.pk}/")


def test_the_page_of_a_part_hears_of_the_whole_too(browser: Client) -> None:
    parent = an_operation(target_type=TargetType.SELECTION, target_name="2 domains", target_id=None)
    part = an_operation(parent=parent)
    heard = f'data-live="operation.changed:{part.pk} operation.changed:{parent.pk}"'
    assert heard in text(browser, f"/operations/{part.pk}/")


def test_the_journal_is_filtered_sorted_and_searched_by_the_address(browser: Client) -> None:
    host = a_host(hostname="alpha")
    an_operation(host, target_name="first", actor_name="ada")
    an_operation(target_name="second", target_id=8, verb="reboot", actor_name="sam", state="failed")
    for query, shown in (
        ("state=failed", "second"),
        ("verb=start", "first"),
        (f"host={host.pk}", "first"),
        ("actor=sam", "second"),
        ("domain=8", "second"),
        ("search=alpha", "first"),
    ):
        page = text(browser, f"/operations/?{query}")
        assert (" first<" in page, " second<" in page) == (shown == "first", shown == "second"), query
    page = text(browser, "/operations/?ordering=-target_name")
    assert page.index(" second<") < page.index(" first<")


@pytest.mark.parametrize(
    ("state", "seconds", "target_type", "times"),
    [
        ("running", 40, TargetType.DOMAIN, 1),
        ("sent", 40, TargetType.HOST, 1),
        ("running", 10, TargetType.DOMAIN, 0),
        ("running", -10, TargetType.DOMAIN, 0),
        ("accepted", 40, TargetType.DOMAIN, 0),
        ("succeeded", 40, TargetType.DOMAIN, 0),
        ("running", 40, TargetType.SELECTION, 0),
    ],
)
def test_what_goes_on_long_after_its_deadline_is_overdue(
    browser: Client, state: str, seconds: int, target_type: TargetType, times: int
) -> None:
    deadline = timezone.now() - timedelta(seconds=seconds)
    operation = an_operation(state=state, deadline=deadline, target_type=target_type)
    assert text(browser, f"/operations/{operation.pk}/").count("It is overdue") == times
    assert text(browser, "/operations/").count(">overdue<") == times


def test_a_part_that_is_overdue_says_so_among_the_others(browser: Client) -> None:
    parent = an_operation(target_type=TargetType.SELECTION)
    an_operation(parent=parent, state="running", deadline=timezone.now() - timedelta(minutes=1))
    an_operation(parent=parent, state="running")
    assert text(browser, f"/operations/{parent.pk}/").count(">overdue<") == 1


def test_the_navigation_counts_what_is_open(browser: Client) -> None:
    parent = an_operation(target_type=TargetType.SELECTION)
    an_operation(parent=parent)
    an_operation(state="succeeded")
    assert ">1<span" in text(browser, "/operations/open/")
    Operation.objects.update(state="succeeded")
    assert "open</span>" not in text(browser, "/operations/open/")
