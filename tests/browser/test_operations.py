"""What a person asks of domains, in a real browser against the whole server and a simulated network."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect

from .site import Site
from .test_first_hour import keep, was_kept

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SLOW = 20_000  # ms: the machine may be busy, and an operation is carried by a worker
DOMAIN = """<domain type='test'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='i686'>hvm</type></os>
</domain>"""


@contextmanager
def table(site: Site, query: str = "") -> Iterator[Page]:
    with site.page() as page:
        page.goto(f"/domains/{query}")
        expect(page.locator("#live-badge")).to_have_text("Live")
        page.wait_for_load_state("networkidle")
        yield page


def row_of(page: Page, state: str, number: int = 0) -> Locator:
    """The row of a domain that is in this state now, by its id: it stays the same when the state changes."""
    found = page.locator("#domains tbody tr").filter(has=page.locator(f'[data-state="{state}"]')).nth(number)
    return page.locator(f"#{found.get_attribute('id')}")


def name_of(row: Locator) -> str:
    return row.locator("a.name").inner_text()


def state_of(row: Locator) -> Locator:
    return row.locator("td").nth(2)


def drawn_anew_until(page: Page, row: Locator, state: str) -> None:
    """Have the list drawn anew until it shows a row in a state."""
    ends_at = time.monotonic() + SLOW / 1000
    while state not in state_of(row).inner_text():
        assert time.monotonic() < ends_at, state_of(row).inner_text()
        page.evaluate("htmx.trigger('#domains', 'refresh')")
        page.wait_for_function("() => !document.querySelector('#domains.htmx-request')")


def choose(page: Page, row: Locator, verb: str) -> None:
    row.locator("[data-menu]").click()
    page.locator("#menu").get_by_text(verb).click()


def test_a_verb_that_came_too_late_is_refused_in_words(crawled: Site) -> None:
    with table(crawled) as page, crawled.context(java_script_enabled=False) as plain:
        row = row_of(page, "shutoff")
        late = plain.new_page()
        late.goto(f"{row.locator('a.name').get_attribute('href')}verbs/")
        row.get_by_role("button", name="Start").click()
        expect(state_of(row)).to_have_text("Running", timeout=SLOW)
        late.get_by_role("button", name="Start").click()
        expect(late.get_by_role("heading", name="Start: not done")).to_be_visible()
        expect(late.get_by_role("alert")).to_contain_text("is running, so “Start” is not possible now")


def test_a_row_shows_its_verb_as_pending_and_then_what_came_of_it(crawled: Site) -> None:
    with table(crawled) as page:
        row = row_of(page, "shutoff")
        keep(page)
        with crawled.network.silent():
            row.get_by_role("button", name="Start").click()
            expect(page.locator("#toasts")).to_contain_text(f"{name_of(row)}: Starting…")
            # Beneath it stands the last state that is known.
            expect(state_of(row)).to_have_text(re.compile(r"Starting…\s*Shut off"))
        expect(state_of(row)).to_have_text("Running", timeout=SLOW)
        assert was_kept(page)


def test_a_dangerous_verb_asks_and_names_what_is_lost(crawled: Site) -> None:
    with table(crawled) as page:
        row = row_of(page, "running")
        choose(page, row, "Force off")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"Force off: {name_of(row)}?")
        expect(dialog).to_contain_text("what it had not written to its disks is lost")
        dialog.get_by_role("link", name="Cancel").click()
        expect(dialog).not_to_be_visible()
        expect(state_of(row)).to_have_text("Running")
        choose(page, row, "Force off")
        dialog.get_by_role("button", name="Force off").click()
        expect(state_of(row)).to_have_text("Shut off", timeout=SLOW)


def test_many_are_told_at_once_and_the_others_are_named(crawled: Site) -> None:
    with table(crawled) as page:
        rows = [row_of(page, "running", 0), row_of(page, "running", 1), row_of(page, "shutoff", 0)]
        left_out = name_of(rows[2])
        for row in rows:
            row.get_by_role("checkbox").check()
        bar = page.locator("#bulk")
        expect(bar).to_contain_text("3 selected")
        bar.get_by_role("button", name="Force off").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Force off: 2 domains?")
        expect(dialog).to_contain_text(f"“{left_out}” is shut off")
        dialog.get_by_role("button", name="Force off: 2 domains").click()
        for row in rows[:2]:
            expect(state_of(row)).to_have_text("Shut off", timeout=SLOW)
        expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)
        page.locator("#toasts a").first.click()
        expect(page.get_by_role("heading", name="Force off 2 domains")).to_be_visible()
        expect(page.locator("#operation")).to_contain_text("2 succeeded", timeout=SLOW)


def test_a_selection_survives_that_its_rows_are_drawn_anew(crawled: Site) -> None:
    with table(crawled) as page:
        row, other = row_of(page, "shutoff", 0), row_of(page, "shutoff", 1)
        row.get_by_role("checkbox").check()
        other.get_by_role("checkbox").check()
        row.get_by_role("button", name="Start").click()
        expect(state_of(row)).to_have_text("Running", timeout=SLOW)
        expect(row.get_by_role("checkbox")).to_be_checked()
        page.evaluate("htmx.trigger('#domains', 'refresh')")
        page.wait_for_load_state("networkidle")
        expect(other.get_by_role("checkbox")).to_be_checked()
        expect(page.locator("#bulk")).to_contain_text("2 selected")
        page.get_by_role("button", name="Clear the selection").click()
        expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)
        page.get_by_role("checkbox", name="Select all on this page").check()
        expect(page.locator("#domains tbody").get_by_role("checkbox", checked=False)).to_have_count(0)


def test_a_row_that_changes_is_fetched_alone(crawled: Site) -> None:
    with crawled.page() as page:
        sockets: list[WebSocketRoute] = []
        # Nobody speaks on it but this test. A method of a list itself is none that Playwright takes.
        page.route_web_socket(re.compile("/live/"), lambda socket: sockets.append(socket))  # noqa: PLW0108
        page.goto("/domains/")
        sockets[0].send(json.dumps({"type": "beat"}))
        expect(page.locator("#live-badge")).to_have_text("Live")
        number = str(page.locator("#domains tbody tr").first.get_attribute("id")).removeprefix("domain-")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        with page.expect_response(f"**/domains/{number}/row/"):
            sockets[0].send(json.dumps({"type": "domain.changed", "id": int(number), "sequence": 1}))
        assert asked == [f"/domains/{number}/row/"]


def test_a_row_whose_answer_came_too_late_goes_on_following(crawled: Site) -> None:
    """Its list was drawn anew while the row was asked for: nobody hears that answer."""
    with table(crawled) as page:
        row = row_of(page, "shutoff")
        of_row = re.compile(rf"{row.locator('a.name').get_attribute('href')}row/$")
        held: list[Route] = []
        page.route(of_row, lambda route: held.append(route))  # noqa: PLW0108 -- it takes functions only
        with page.expect_request(of_row, timeout=SLOW):
            row.get_by_role("button", name="Start").click()
        drawn_anew_until(page, row, "Running")
        page.unroute(of_row)  # what was held goes on, and is answered
        with page.expect_request(of_row, timeout=SLOW):
            row.get_by_role("button", name="Shut down").click()
        expect(state_of(row)).to_have_text("Shut off", timeout=SLOW)


def test_a_row_is_reached_and_told_by_the_keyboard(crawled: Site) -> None:
    with table(crawled) as page:
        page.keyboard.press("j")
        page.keyboard.press("j")
        row = page.locator("#domains tbody tr").nth(1)
        expect(row.locator("a.name")).to_be_focused()
        page.keyboard.press("x")
        expect(row.get_by_role("checkbox")).to_be_checked()
        page.keyboard.press("m")
        expect(page.locator("#menu")).to_be_visible()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Escape")
        expect(page.locator("#menu")).not_to_be_visible()
        expect(row.locator("[data-menu]")).to_be_focused()
        page.keyboard.press("g")
        page.keyboard.press("p")
        expect(page.get_by_role("heading", name="Operations")).to_be_visible()


def test_the_page_of_a_domain_follows_what_it_is_told(crawled: Site) -> None:
    with table(crawled) as page:
        row_of(page, "shutoff").locator("a.name").click()
        expect(page.locator("#live-badge")).to_have_text("Live")
        keep(page)
        page.locator("#domain-verbs").get_by_role("button", name="Start").click()
        expect(page.locator("#domain")).to_contain_text("Running", timeout=SLOW)
        expect(page.locator("#operations")).to_contain_text("Succeeded", timeout=SLOW)
        expect(page.locator("#screen")).to_be_visible()
        switch = page.get_by_role("switch")
        before = str(switch.get_attribute("aria-checked"))
        switch.click()
        after = {"true": "false", "false": "true"}[before]
        expect(switch).to_have_attribute("aria-checked", after, timeout=SLOW)
        assert was_kept(page)
        page.get_by_role("link", name="Edit title").click()
        page.get_by_label("Title").fill("Behind the lamp")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#domain-title")).to_have_text("Behind the lamp", timeout=SLOW)


def test_the_journal_tells_who_asked_for_what_and_how_it_went(crawled: Site) -> None:
    with crawled.page() as page:
        page.goto("/operations/?verb=start")
        page.locator("#operations a.name").first.click()
        expect(page.locator("#operation")).to_contain_text("ada")
        line = page.locator(".timeline li")
        expect(line.first).to_contain_text("Accepted")
        expect(line.last).to_contain_text("Succeeded", timeout=SLOW)
        expect(line.last).to_contain_text(re.compile(r"\+[\d.]+ m?s"))


def test_xml_that_libvirt_refuses_comes_back_with_its_words(crawled: Site) -> None:
    with crawled.context() as context:  # not site.page(): Chromium calls every answer of 422 an error
        page = context.new_page()
        page.goto("/hosts/?status=online")
        page.locator("#hosts tbody a.name").first.click()
        page.get_by_role("link", name="New domain from XML").click()
        page.get_by_label("Domain XML").fill("<domain type='test'><name>lamp</name></domain>")
        page.get_by_role("button", name="Define").click()
        expect(page.locator(".field-error")).to_contain_text("must be specified", timeout=SLOW)
        expect(page.get_by_label("Domain XML")).to_have_value(re.compile("lamp"))
        page.get_by_label("Domain XML").fill(DOMAIN.format(name="zebra-lamp"))
        page.get_by_role("button", name="Define").click()
        expect(page.get_by_role("heading", name=re.compile("zebra-lamp|Define a domain"))).to_be_visible(
            timeout=SLOW
        )
        page.goto("/domains/?search=zebra-lamp")
        expect(page.locator("#domains tbody tr")).to_have_count(1, timeout=SLOW)


def test_the_open_page_of_a_domain_that_is_deleted_says_that_it_is_gone(crawled: Site) -> None:
    with crawled.context() as context, crawled.page() as other:  # as above: Chromium calls a 404 an error
        page = context.new_page()
        page.goto("/domains/?search=zebra-lamp")
        page.locator("#domains tbody a.name").click()
        expect(page.locator("#live-badge")).to_have_text("Live")
        other.goto(f"{urlsplit(page.url).path}verbs/undefine/")
        other.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("There is nothing here.")).to_be_visible(timeout=SLOW)


def test_no_page_complained(crawled: Site) -> None:
    """Last of this file: no script failed, nothing was kept out by the content security policy."""
    assert crawled.complaints == []
