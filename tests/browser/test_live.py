"""What stays true in an open page: when its socket, an answer or a row under an open menu is lost."""

import json
import re

import pytest
from playwright.sync_api import Route, WebSocketRoute

from .site import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


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


def test_a_list_whose_answer_never_comes_is_asked_for_again(crawled: Site) -> None:
    with crawled.page() as page:
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


def test_charts_whose_answer_never_comes_are_asked_for_again(crawled: Site) -> None:
    with crawled.page() as page:
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
