"""What a person does with domains on the pages: verbs, many at once, texts, definitions. Refusals first."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from domains import services
from domains.models import Domain
from hosts.choices import Trust
from hosts.models import Host, Operation

from .factories import domain, facts, owned_host

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]

HTMX = {"HX-Request": "true"}


def text(browser: Client, path: str) -> str:
    return browser.get(path).content.decode()


def told(answer: Any) -> dict[str, Any]:
    """What the answer has the browser say."""
    found: dict[str, Any] = json.loads(answer["HX-Trigger"])["acted"]
    return found


def test_a_verb_that_the_state_forbids_is_refused_in_words(browser: Client) -> None:
    guest = domain(name="web-1", state="shutoff")
    answer = browser.post(f"/domains/{guest.pk}/verbs/shutdown/")
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "is shut off, so “Shut down” is not possible now" in page
    assert "nothing was changed" in page
    assert not Operation.objects.exists()


def test_a_refusal_in_place_draws_the_row_as_it_is(browser: Client) -> None:
    guest = domain(name="web-1", state="shutoff")
    at = f"/domains/{guest.pk}/verbs/shutdown/"
    answer = browser.post(at, headers=HTMX | {"HX-Target": f"domain-{guest.pk}"})
    assert answer.status_code == 200
    assert told(answer)["tone"] == "bad"
    assert "not possible now" in told(answer)["text"]
    assert 'data-state="shutoff"' in answer.content.decode()


@pytest.mark.parametrize("name", ["metadata", "create", "define", "start-all"])
def test_what_is_no_verb_of_a_button_is_not_there(browser: Client, name: str) -> None:
    guest = domain()
    assert browser.post(f"/domains/{guest.pk}/verbs/{name}/").status_code == 404


def test_a_stranger_tells_a_domain_nothing(stranger: Client) -> None:
    guest = domain()
    assert stranger.post(f"/domains/{guest.pk}/verbs/start/").status_code == 302
    assert not Operation.objects.exists()


def test_a_form_from_elsewhere_is_refused(ada: User) -> None:
    guest = domain()
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(ada, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert careful.post(f"/domains/{guest.pk}/verbs/start/").status_code == 403
    assert not Operation.objects.exists()


def test_a_verb_works_without_scripts(browser: Client) -> None:
    guest = domain(name="web-1")
    page = browser.post(f"/domains/{guest.pk}/verbs/start/", follow=True).content.decode()
    assert "web-1: Starting…" in page
    operation = Operation.objects.get()
    assert (operation.verb, operation.actor_name, operation.target_id) == ("start", "ada", guest.pk)


def test_a_row_that_was_told_something_says_so_above_its_unchanged_state(browser: Client) -> None:
    guest = domain(name="web-1")
    answer = browser.post(
        f"/domains/{guest.pk}/verbs/start/", headers=HTMX | {"HX-Target": f"domain-{guest.pk}"}
    )
    row, operation = answer.content.decode(), Operation.objects.get()
    assert row.index("Starting…") < row.index('data-state="shutoff"')
    assert f"operation.changed:{operation.pk}" in row
    assert "verbs/start/" not in row
    assert told(answer) == {
        "text": "web-1: Starting…",
        "tone": "good",
        "href": f"/operations/{operation.pk}/",
        "done": "",
    }


def test_a_row_tells_of_a_failure_until_the_next_success_or_for_a_while(browser: Client, ada: User) -> None:
    guest = domain(name="web-1")
    operation = services.act(guest, "start", actor=ada)
    row = f"/domains/{guest.pk}/row/"
    Operation.objects.update(state="failed")
    assert f'<a class="trouble" href="/operations/{operation.pk}/">' in text(browser, row)
    Operation.objects.update(created_at=timezone.now() - timedelta(minutes=11))
    assert "trouble" not in text(browser, row)
    Operation.objects.update(created_at=timezone.now())
    services.act(guest, "start", actor=ada)
    Operation.objects.exclude(pk=operation.pk).update(state="succeeded")
    assert "trouble" not in text(browser, row)


def test_the_page_says_which_operation_is_overdue(browser: Client, ada: User) -> None:
    guest = domain(state="running")
    services.act(guest, "shutdown", actor=ada)
    assert ">overdue<" not in text(browser, f"/domains/{guest.pk}/")
    Operation.objects.update(state="running", deadline=timezone.now() - timedelta(minutes=1))
    assert ">overdue<" in text(browser, f"/domains/{guest.pk}/")


def test_an_open_operation_counts_before_a_later_one_that_ended(browser: Client, ada: User) -> None:
    guest = domain(state="running")
    services.act(guest, "shutdown", actor=ada)
    failed = services.act(guest, "reboot", actor=ada)
    Operation.objects.filter(pk=failed.pk).update(state="failed")
    assert "Shutting down…" in text(browser, f"/domains/{guest.pk}/row/")


@pytest.mark.parametrize(
    ("state", "offered"),
    [("shutoff", ["start"]), ("running", ["shutdown"]), ("paused", ["resume"]), ("unknown", [])],
)
def test_a_row_offers_the_likely_verbs_of_its_state(browser: Client, state: str, offered: list[str]) -> None:
    guest = domain(state=state)
    row = text(browser, f"/domains/{guest.pk}/row/")
    assert [name for name in ("resume", "start", "shutdown", "reboot") if f"/verbs/{name}/" in row] == offered


def test_a_row_names_its_host_also_where_a_phone_has_no_room_for_a_column(browser: Client) -> None:
    guest = domain(owned_host(hostname="hv-7"))
    row = text(browser, f"/domains/{guest.pk}/row/")
    assert '<span class="under phone-only">hv-7</span>' in row
    assert "hv-7" not in text(browser, f"/domains/{guest.pk}/row/?on-host")


def test_the_menu_has_every_verb_that_is_allowed_and_no_other(browser: Client) -> None:
    guest = domain(state="running")
    page = text(browser, f"/domains/{guest.pk}/verbs/")
    for name in ("shutdown", "reboot", "suspend", "save", "reset", "destroy"):
        assert f"/verbs/{name}/" in page
    for name in ("start", "resume", "restore", "undefine"):
        assert f"/verbs/{name}/" not in page


def test_of_a_missing_domain_nothing_is_offered_but_to_forget_it(browser: Client) -> None:
    guest = domain(name="web-1")
    Domain.objects.update(missing_since=timezone.now())
    assert "nothing can be told to it" in text(browser, f"/domains/{guest.pk}/verbs/")
    assert "formaction" not in text(browser, f"/domains/{guest.pk}/row/")
    assert "Nothing on" in text(browser, f"/domains/{guest.pk}/forget/")
    assert "web-1 was forgotten" in browser.post(f"/domains/{guest.pk}/forget/", follow=True).content.decode()
    assert not Domain.objects.exists()


def test_a_domain_that_its_host_lists_is_not_forgotten(browser: Client) -> None:
    guest = domain()
    assert "Its host lists" in browser.post(f"/domains/{guest.pk}/forget/", follow=True).content.decode()
    assert Domain.objects.exists()


def test_who_deletes_a_domain_is_led_to_what_becomes_of_that(browser: Client) -> None:
    guest = domain(name="web-1", state="shutoff")
    answer = browser.post(f"/domains/{guest.pk}/verbs/undefine/")
    assert answer["Location"] == f"/operations/{Operation.objects.get().pk}/"


@pytest.mark.parametrize("name", ["destroy", "reset"])
def test_a_dangerous_verb_asks_naming_the_domain_and_what_is_lost(browser: Client, name: str) -> None:
    guest = domain(name="web-1", state="running")
    question = text(browser, f"/domains/{guest.pk}/verbs/{name}/")
    assert "web-1?" in question
    assert "had not written to its disks is lost" in question
    assert f'href="/domains/{guest.pk}/verbs/{name}/" data-asks>' in text(browser, f"/domains/{guest.pk}/")


def test_a_question_that_is_answered_twice_is_one_operation(browser: Client) -> None:
    guest = domain(state="running")
    for _ in range(2):
        browser.post(f"/domains/{guest.pk}/verbs/destroy/", {"key": "of this form"})
    assert Operation.objects.count() == 1


def test_autostart_is_a_switch(browser: Client) -> None:
    guest = domain()
    assert 'role="switch" aria-checked="false"' in text(browser, f"/domains/{guest.pk}/")
    browser.post(f"/domains/{guest.pk}/verbs/autostart/", {"enabled": "true"})
    assert Operation.objects.get().args == {"enabled": True}


def test_only_the_texts_that_were_changed_are_sent(browser: Client) -> None:
    guest = domain(title="old", description="line 1\nline 2", tags=["web"])
    fields = {"title": "new", "description": "line 1\r\nline 2", "tags": "web"}
    browser.post(f"/domains/{guest.pk}/edit/", fields)
    assert Operation.objects.get().args == {"title": "new"}
    browser.post(f"/domains/{guest.pk}/edit/", fields | {"title": "old", "tags": "web, db ,web"})
    assert Operation.objects.first().args == {"tags": ["web", "db"]}  # type: ignore[union-attr]


def test_a_tag_that_a_form_cannot_hold_stays_as_it_is(browser: Client) -> None:
    guest = domain(tags=["db", "web, old"])
    browser.post(f"/domains/{guest.pk}/edit/", {"title": "new", "tags": "db, web, old"})
    assert Operation.objects.get().args == {"title": "new"}


def test_a_tag_that_is_too_long_is_refused_at_its_field(browser: Client) -> None:
    guest = domain()
    answer = browser.post(f"/domains/{guest.pk}/edit/", {"tags": "x" * 65})
    assert answer.status_code == 422
    assert "at most 64 characters" in answer.content.decode()
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"), [("title", "a\x1bb"), ("description", "\u202e"), ("tags", "\x07")]
)
def test_control_characters_are_refused_as_by_the_api(browser: Client, field: str, value: str) -> None:
    guest = domain()
    answer = browser.post(f"/domains/{guest.pk}/edit/", {field: f"x{value}x"})
    assert answer.status_code == 422
    assert "Control characters are not allowed." in answer.content.decode()
    assert not Operation.objects.exists()


@pytest.mark.parametrize("key", ["k" * 300, "a\0b"])
def test_a_key_that_no_form_of_ours_has_breaks_nothing(browser: Client, key: str) -> None:
    guest = domain(state="running")
    browser.post(f"/domains/{guest.pk}/verbs/destroy/", {"key": key})
    fields = {"verb": "reboot", "ids": guest.pk, "order": "given", "stagger": 0, "key": f"b{key}"}
    browser.post("/domains/bulk/", fields)
    keys = Operation.objects.filter(parent=None).values_list("idempotency_key", flat=True)
    assert set(keys) == {one.replace("\0", "")[:64] for one in (key, f"b{key}")}


class TestBulk:
    """Many at once."""

    def test_it_previews_who_is_told_and_who_is_left_out_and_why(self, browser: Client) -> None:
        off, on = domain(name="web-1"), domain(name="web-2", state="running")
        page = text(browser, f"/domains/bulk/?verb=start&ids={off.pk}&ids={on.pk}")
        assert "Start: 1 domain?" in page
        assert "“web-2” is running, so “Start” is not possible now" in page
        assert not Operation.objects.exists()

    def test_what_is_lost_is_said(self, browser: Client) -> None:
        guests = [domain(state="running") for _ in range(2)]
        page = text(browser, "/domains/bulk/?verb=destroy&" + "&".join(f"ids={guest.pk}" for guest in guests))
        assert "Force off: 2 domains?" in page
        assert "loses its power at once" in page

    def test_with_nothing_to_do_it_says_so(self, browser: Client) -> None:
        guest = domain(name="web-1")
        answer = browser.post(
            "/domains/bulk/", {"verb": "resume", "ids": [guest.pk], "order": "given", "stagger": 0}
        )
        assert answer.status_code == 409
        assert "None of the selected domains" in answer.content.decode()

    def test_it_is_one_operation_with_a_part_for_each(self, browser: Client) -> None:
        guests = [domain(name=name) for name in ("b", "a")]
        asked = {"verb": "start", "ids": [guest.pk for guest in guests], "order": "name", "stagger": "5"}
        answer = browser.post("/domains/bulk/", asked | {"stop_on_failure": "on"}, headers=HTMX)
        parent = Operation.objects.get(parent=None)
        assert answer.status_code == 204
        assert told(answer)["href"] == f"/operations/{parent.pk}/"
        assert told(answer)["done"] == "bulk"
        assert [part.target_name for part in parent.children.order_by("position")] == ["a", "b"]
        assert (parent.args["stagger"], parent.args["stop_on_failure"]) == (5, True)

    def test_without_scripts_it_leads_to_the_operation(self, browser: Client) -> None:
        guest = domain(name="web-1")
        asked = {"verb": "start", "ids": [guest.pk], "order": "given", "stagger": "0"}
        page = browser.post("/domains/bulk/", asked, follow=True).content.decode()
        assert "Start 1 domain" in page
        assert "Its parts" in page

    def test_an_option_that_cannot_be_is_refused_at_its_field(self, browser: Client) -> None:
        guest = domain()
        asked = {"verb": "start", "ids": [guest.pk], "order": "given", "stagger": "-1"}
        assert browser.post("/domains/bulk/", asked).status_code == 409
        assert not Operation.objects.exists()


def test_a_definition_for_a_host_that_is_not_owned_is_refused(browser: Client) -> None:
    host = owned_host(trust=Trust.RETIRED)
    answer = browser.post(f"/hosts/{host.pk}/domains/define/", {"xml": "<domain/>"})
    assert answer.status_code == 422
    assert "not owned" in answer.content.decode()


def test_what_libvirt_says_of_the_xml_is_shown_at_its_field(browser: Client, ada: User) -> None:
    host = owned_host()
    refused = services.define(host, xml="<domain/>", actor=ada, key="one")
    problem = {"type": "invalid_xml", "detail": "no <name> & no type"}
    Operation.objects.filter(pk=refused.pk).update(state="failed", problem=problem)
    answer = browser.post(f"/hosts/{host.pk}/domains/define/", {"xml": "<domain/>", "key": "one"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "no &lt;name&gt; &amp; no type" in page
    assert "&lt;domain/&gt;" in page
    assert 'value="one"' not in page, "what is sent next is another request"


def test_a_definition_that_takes_long_is_followed_on_its_operation(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domains.pages.defining.WAIT_SECONDS", 0.01)
    host = owned_host(missed_probes=3)
    answer = browser.post(f"/hosts/{host.pk}/domains/define/", {"xml": "<domain/>"})
    operation = Operation.objects.get()
    assert answer.headers["Location"] == f"/operations/{operation.pk}/"
    assert operation.args == {"xml": "<domain/>"}


def test_domains_are_filtered_by_age_and_chips_say_so(browser: Client) -> None:
    domain(name="fresh")
    domain(owned_host(last_seen=timezone.now() - timedelta(hours=1)), name="old")
    gone = domain(name="gone")
    Domain.objects.filter(pk=gone.pk).update(missing_since=timezone.now())
    stale = text(browser, "/domains/?stale=true")
    assert ("old" in stale, ">gone<" in stale, ">fresh<" in stale) == (True, True, False)
    missing = text(browser, "/domains/?missing=true")
    assert (">gone<" in missing, ">old<" in missing) == (True, False)
    assert 'aria-current="true">Missing' in missing


def test_what_is_not_told_is_counted_as_each_row_says() -> None:
    silent = owned_host(last_seen=timezone.now() - timedelta(days=1))
    domain(owned_host())
    domain(silent)
    gone = [domain(host).pk for host in (silent, owned_host())]
    Domain.objects.filter(pk__in=gone).update(missing_since=timezone.now())
    assert Domain.objects.count_untold() == {"missing": 2, "stale": 1}
    assert sorted(row.stale for row in Domain.objects.with_stale()) == [False, True, True, True]


def test_a_table_and_a_row_cost_the_same_queries_at_any_size(browser: Client, ada: User) -> None:
    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(path).status_code == 200
        return len(seen)

    guest = domain(title="x", tags=["a", "b"], state="running")
    services.act(guest, "reboot", actor=ada)
    paths = ("/domains/", f"/domains/{guest.pk}/row/", f"/hosts/{guest.host_id}/domains/")
    few = {path: cost(path) for path in paths}
    for number in range(3):
        host = owned_host()
        services.mirror(host, [facts(title=str(number), tags=["a"], state="running") for _ in range(20)])
        for one in Domain.objects.filter(host=host).select_related("host"):
            services.act(one, "shutdown", actor=ada)
    Operation.objects.filter(verb="shutdown").update(state="failed")
    Host.objects.filter(pk=host.pk).update(last_seen=timezone.now() - timedelta(hours=1))
    assert {path: cost(path) for path in paths} == few
    assert few["/domains/"] <= 9
    assert few[f"/domains/{guest.pk}/row/"] <= 4
