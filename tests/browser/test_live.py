"""What stays true in an open page: when its socket, an answer or a row under an open menu is lost."""

import json
import re

import pytest
from playwright.sync_api import Locator, Page, Route, WebSocketRoute, expect

from .site import Site
from .test_operations import table

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def rows(page: Page) -> tuple[Locator, Locator]:
    """Two rows of the table, by their ids."""
    found = page.locator("#domains tbody tr")
    first, second = (page.locator(f"#{found.nth(n).get_attribute('id')}") for n in range(2))
    return first, second


def verbs_of(row: Locator) -> re.Pattern[str]:
    return re.compile(rf"{row.locator('a.name').get_attribute('href')}verbs/$")


def draw_anew(page: Page, row: Locator) -> None:
    with page.expect_response(re.compile("/row/$")):
        row.evaluate("row => row.dispatchEvent(new CustomEvent('refresh'))")
    page.wait_for_load_state("networkidle")


def test_a_menu_that_cannot_be_had_does_not_show_another_row_s(crawled: Site) -> None:
    with crawled.context() as context:  # Chromium calls an answer of 503 an error
        page = context.new_page()
        page.goto("/domains/")
        first, second = rows(page)
        first.locator("[data-menu]").click()
        expect(page.locator("#menu")).to_be_visible()
        page.keyboard.press("Escape")
        page.route(verbs_of(second), lambda route: route.fulfill(status=503))
        second.locator("[data-menu]").click()
        page.wait_for_load_state("networkidle")
        expect(page.locator("#menu")).not_to_be_visible()
        expect(page.locator("#toasts")).to_contain_text("Nothing was done")


def test_of_two_menus_the_one_asked_for_last_is_shown(crawled: Site) -> None:
    with table(crawled) as page:
        first, second = rows(page)
        name = second.locator("a.name").inner_text()
        held: list[Route] = []
        page.route(verbs_of(first), lambda route: held.append(route))  # noqa: PLW0108 -- functions only
        first.locator("[data-menu]").click()
        second.locator("[data-menu]").click()
        page.route(verbs_of(second), lambda route: held.append(route))  # noqa: PLW0108 -- functions only
        page.wait_for_timeout(500)
        with page.expect_response(verbs_of(first)):
            held[0].continue_()
        page.wait_for_timeout(500)
        expect(page.locator("#menu .menu-title").filter(has_not_text=name)).to_have_count(0)
        page.unroute(verbs_of(second))  # what was held goes on
        expect(page.locator("#menu .menu-title")).to_have_text(name)


def test_a_verb_is_told_from_a_menu_whose_row_was_drawn_anew(crawled: Site) -> None:
    with table(crawled) as page:
        row, _ = rows(page)
        row.locator("[data-menu]").click()
        expect(page.locator("#menu")).to_be_visible()
        draw_anew(page, row)
        with page.expect_request(lambda request: request.method == "POST", timeout=5000):
            page.locator("#menu button").first.click()


def test_an_answer_is_said_though_its_row_was_drawn_anew(crawled: Site) -> None:
    with table(crawled) as page:
        row, _ = rows(page)
        held: list[Route] = []
        page.route(re.compile("/verbs/[a-z]+/$"), lambda route: held.append(route))  # noqa: PLW0108
        row.locator("td.verbs button").first.click()
        with page.expect_response(re.compile("/domains/$")):
            page.evaluate("htmx.trigger('#domains', 'refresh')")
        page.wait_for_timeout(500)
        held[0].continue_()
        expect(page.locator("#toasts")).to_contain_text(row.locator("a.name").inner_text(), timeout=5000)


def test_a_socket_that_is_closed_at_once_is_not_called_live(crawled: Site) -> None:
    with crawled.page() as page:
        sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/live/"), lambda socket: sockets.append(socket))  # noqa: PLW0108
        page.add_init_script(
            "addEventListener('DOMContentLoaded', () => { window.said = new Set(); "
            "new MutationObserver(() => said.add(document.getElementById('live-badge').dataset.liveState))"
            ".observe(document.getElementById('live-badge'), {attributes: true}); })"
        )
        page.goto("/domains/")
        for _ in range(80):
            page.wait_for_timeout(100)
            for socket in sockets:
                socket.close(code=1012)
        assert "live" not in page.evaluate("[...said]"), len(sockets)
        assert len(sockets) <= 6, len(sockets)


def test_the_focus_stays_where_it_was_in_a_part_that_is_drawn_anew(crawled: Site) -> None:
    with table(crawled) as page:
        page.goto("/")
        page.wait_for_load_state("networkidle")
        link = page.locator("#overview .tile[href]").nth(1)
        link.focus()
        with page.expect_response("/"):
            page.evaluate("htmx.trigger('#overview', 'refresh')")
        page.wait_for_load_state("networkidle")
        expect(link).to_be_focused()


def test_the_focus_stays_on_a_verb_of_a_domain_s_page(crawled: Site) -> None:
    with table(crawled) as page:
        row, _ = rows(page)
        row.locator("a.name").click()
        expect(page.locator("#live-badge")).to_have_text("Live")
        page.wait_for_load_state("networkidle")
        verb = page.locator("#domain-verbs").locator("a, button").first
        verb.focus()
        page.evaluate("document.getElementById('domain-verbs').dataset.old = 'yes'")
        page.evaluate("htmx.trigger('#domain', 'refresh')")
        expect(page.locator("#domain-verbs[data-old]")).to_have_count(0)
        expect(verb).to_be_focused()


def test_a_dialog_gives_the_focus_back_to_a_row_that_was_drawn_anew(crawled: Site) -> None:
    with table(crawled) as page:
        row, _ = rows(page)
        row.locator("[data-menu]").click()
        page.locator("#menu a[data-asks]").first.click()
        expect(page.locator("#dialog")).to_be_visible()
        draw_anew(page, row)
        page.keyboard.press("Escape")
        expect(page.locator("#dialog")).not_to_be_visible()
        expect(row.locator("[data-menu]")).to_be_focused()


def test_a_dialog_that_cannot_be_had_is_said(crawled: Site) -> None:
    with crawled.context() as context:
        page = context.new_page()
        page.goto("/domains/")
        row, _ = rows(page)
        row.locator("[data-menu]").click()
        page.route(re.compile("/verbs/[a-z]+/$"), lambda route: route.fulfill(status=503))
        page.locator("#menu a[data-asks]").first.click()
        expect(page.locator("#toasts")).to_contain_text("Nothing was done")


def test_a_list_whose_answer_never_comes_is_asked_for_again(crawled: Site) -> None:
    with crawled.context() as context:  # htmx calls what is given up an error
        page = context.new_page()
        page.clock.install()
        page.goto("/domains/")
        page.wait_for_load_state("networkidle")
        held: list[Route] = []
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.route(re.compile("/domains/$"), lambda route: held.append(route))  # noqa: PLW0108
        page.clock.fast_forward(25_000)
        page.wait_for_timeout(500)
        assert len(held) == 1, asked
        page.clock.fast_forward(60_000)
        page.clock.fast_forward(2_000)
        page.wait_for_timeout(1000)
        assert len(held) == 2, asked


def test_a_page_one_goes_back_to_knows_what_time_it_is(crawled: Site) -> None:
    with crawled.page() as page:
        page.goto("/hosts/")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(3000)
        page.goto("/operations/")
        page.go_back()
        late = "Date.now() / 1000 - Number(document.documentElement.dataset.now)"
        assert page.evaluate(late) < 3


def test_the_verbs_of_a_host_s_page_follow_it(crawled: Site) -> None:
    def changed(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("Retire", "Take back"))

    with crawled.page() as page:
        page.goto("/hosts/?status=online")
        page.locator("#hosts tbody a.name").first.click()
        expect(page.locator("#live-badge")).to_have_text("Live")
        page.wait_for_load_state("networkidle")
        page.route(page.url, changed)
        page.evaluate("htmx.trigger('#host', 'refresh')")
        expect(page.get_by_role("link", name="Take back")).to_be_visible()


def test_start_in_a_console_can_be_pressed_again_after_a_failure(crawled: Site) -> None:
    with crawled.context() as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto("/domains/?state=shutoff")
        number = str(page.locator("#domains tbody tr").first.get_attribute("id")).removeprefix("domain-")
        word = {"type": "error", "problem": "wrong_state", "detail": "It does not run."}

        def stopped(socket: WebSocketRoute) -> None:
            def hello(_: object) -> None:
                socket.send(json.dumps(word))
                socket.close(code=4422)

            socket.on_message(hello)

        page.route_web_socket(re.compile("/ws/console/"), stopped)
        page.route(re.compile("/start/$"), lambda route: route.abort())
        page.goto(f"/domains/{number}/console/")
        start = page.get_by_role("button", name="Start")
        start.click()
        page.wait_for_timeout(500)
        assert errors == []
        expect(start).to_be_enabled(timeout=4000)


def test_a_console_that_hears_nothing_more_is_not_called_live(crawled: Site) -> None:
    with crawled.page() as page:
        page.clock.install()
        sockets: list[WebSocketRoute] = []

        def silent(socket: WebSocketRoute) -> None:
            sockets.append(socket)
            word = json.dumps({"type": "ready", "mode": "edit", "viewers": 1})
            socket.on_message(lambda _: socket.send(word))

        page.route_web_socket(re.compile("/ws/console/"), silent)
        page.goto("/domains/?state=running")
        number = str(page.locator("#domains tbody tr").first.get_attribute("id")).removeprefix("domain-")
        page.goto(f"/domains/{number}/console/")
        expect(page.locator("[data-console-status]")).to_have_text("Live")
        page.clock.run_for(40_000)
        page.clock.run_for(5_000)
        page.wait_for_timeout(500)
        assert len(sockets) > 1


def test_charts_whose_answer_never_comes_are_asked_for_again(crawled: Site) -> None:
    with crawled.context() as context:  # htmx calls what is given up an error
        page = context.new_page()
        page.clock.install()
        page.goto("/domains/?state=running")
        held: list[Route] = []
        page.route(re.compile("/metrics/"), lambda route: held.append(route))  # noqa: PLW0108 -- functions only
        page.locator("#domains tbody a.name").first.click()
        page.locator(".charts").scroll_into_view_if_needed()
        page.clock.run_for(2_000)
        page.wait_for_timeout(300)
        assert len(held) == 1
        page.clock.run_for(90_000)
        page.wait_for_timeout(300)
        assert len(held) > 1


def test_a_filter_of_hosts_keeps_what_was_searched(crawled: Site) -> None:
    with crawled.page() as page:
        page.goto("/hosts/?ordering=-memory")
        page.wait_for_load_state("networkidle")
        with page.expect_response(re.compile("search=hv")):
            page.get_by_label("Search hosts").fill("hv")
        page.wait_for_url(re.compile("search=hv"))
        assert "ordering=-memory" in page.url
        page.locator(".chips").get_by_text("Online", exact=True).click()
        expect(page.get_by_label("Search hosts")).to_have_value("hv")


def test_a_page_whose_scripts_come_slowly_follows_all_the_same(crawled: Site) -> None:
    with crawled.page() as page:
        sockets: list[WebSocketRoute] = []
        late: list[Route] = []

        def hello(socket: WebSocketRoute) -> None:
            sockets.append(socket)
            socket.send(json.dumps({"type": "hello"}))

        page.route_web_socket(re.compile("/live/"), hello)
        page.route(re.compile("/map[^/]*[.]js$"), lambda route: late.append(route))  # noqa: PLW0108
        page.goto("/domains/", wait_until="commit")
        page.wait_for_timeout(1500)
        late[0].continue_()
        page.wait_for_load_state("load")
        page.wait_for_timeout(2500)
        with page.expect_request(re.compile("/domains/$"), timeout=5000):
            sockets[-1].send(json.dumps({"type": "hello"}))


def test_a_page_follows_after_a_context_menu_took_the_release_of_the_button(crawled: Site) -> None:
    with crawled.page() as page:
        sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile("/live/"), lambda socket: sockets.append(socket))  # noqa: PLW0108
        page.goto("/domains/")
        page.wait_for_load_state("networkidle")
        row, _ = rows(page)
        row.hover()
        page.mouse.down(button="right")  # what goes on in the menu that opens the page does not hear
        row.evaluate("row => { row.dataset.old = 'yes'; }")
        number = int(str(row.get_attribute("id")).removeprefix("domain-"))
        sockets[0].send(json.dumps({"type": "domain.changed", "id": number, "sequence": 1}))
        expect(page.locator("#domains tr[data-old]")).to_have_count(0)
