"""Consoles in a real browser, of a real guest on a real hypervisor: what is typed, seen and told."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Playwright,
    WebSocketRoute,
    expect,
)

from tests.lab.hypervisor import Guest
from tests.lab.laboratory import BLOCK, Lab
from tests.lab.machine import wait_for
from tests.lab.server import PASSWORD, Server
from tests.networks.requirements import require

from .site import CHROMIUM, FLAGS, PHONE
from .test_wcag import RULES

pytestmark = [pytest.mark.browser, pytest.mark.lab, pytest.mark.timeout(180)]

ADDRESS = "http://127.0.0.1:8000"
# Of a screen with a text on it; of a blank one there are one or two.
COLOURS = """canvas => {
  if (!canvas.width) return 0;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


@dataclass
class Site:
    """A hypervisor with a guest, a server that owns it, and a browser that stands where the server is."""

    lab: Lab
    server: Server
    browser: Browser
    state: Any = None
    complaints: list[str] = field(default_factory=list)

    def domain(self, name: str = "web1") -> int:
        return int(next(row["id"] for row in self.server.everything("domains/") if row["name"] == name))

    def add_guest(self, name: str, pattern: str, instead: str = "") -> int:
        """Start a guest in whose XML something is replaced; its id, once the server knows it."""
        hypervisor = self.lab.hypervisors[0]
        hypervisor.add_guest(Guest(name, running=False))
        xml = hypervisor.virsh("dumpxml", "--inactive", name)
        changed, count = re.subn(pattern, instead, xml, flags=re.DOTALL)
        assert count == 1, xml
        hypervisor.write(f"run/lab/{name}.xml", changed)
        hypervisor.virsh("define", f"/run/lab/{name}.xml")
        hypervisor.virsh("start", name)
        running = "domains/?state=running"
        wait_for(
            lambda: name in {row["name"] for row in self.server.everything(running)},
            f"the server knows {name}",
        )
        return self.domain(name)

    @contextmanager
    def context(self, **options: Any) -> Iterator[BrowserContext]:
        with self.browser.new_context(base_url=ADDRESS, storage_state=self.state, **options) as context:
            yield context

    @contextmanager
    def page(self, **options: Any) -> Iterator[Page]:
        with self.context(**options) as context:
            yield self.opened(context)

    def opened(self, context: BrowserContext) -> Page:
        """A page of this browser; what it complains about fails the tests at the end."""
        page = context.new_page()
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, play: Playwright) -> Iterator[Site]:
    require("lab")
    with Lab(count=1) as lab, Server(lab.server) as server:
        lab.start_daemons()
        server.serve()
        server.add_range(BLOCK)
        lab.invite(server.join_key())
        server.crawl_command(BLOCK)
        inside = tmp_path_factory.mktemp("browser") / "chromium"
        inside.write_text(f'#!/bin/sh\nexec {" ".join(lab.server.command(CHROMIUM))} "$@"\n')
        inside.chmod(0o755)
        with play.chromium.launch(executable_path=inside, args=FLAGS) as browser:
            site = Site(lab, server, browser)
            with site.page() as page:
                sign_in(page)
                site.state = page.context.storage_state()
            hypervisor = lab.hypervisors[0]
            [running, _] = hypervisor.guests
            wait_for(lambda: "guest is up" in hypervisor.console(running), "the guest boots", deadline=60)
            yield site


def sign_in(page: Page) -> None:
    page.goto("/account/login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def status(page: Page) -> Locator:
    return page.locator("[data-console-status]")


def screen(page: Page) -> Locator:
    return page.locator("[data-console-screen]")


def opened(page: Page, domain: int, kind: str = "serial") -> Page:
    page.goto(f"/domains/{domain}/console/?kind={kind}")
    expect(status(page)).to_have_text(re.compile("^Live"), timeout=15_000)
    return page


def type_and_read(page: Page, command: str, answer: str) -> None:
    page.keyboard.type(f"{command}\n")
    expect(screen(page).locator(".xterm-rows")).to_contain_text(answer, timeout=15_000)


def test_typing_into_the_serial_console(site: Site) -> None:
    with site.page() as page:
        opened(page, site.domain())
        type_and_read(page, "echo $((6 * 7))", "42")
        page.get_by_role("button", name="Paste").click()
        page.get_by_label("Text", exact=True).fill("echo pasted $((40 + 1))\n")
        page.get_by_role("button", name="Type it").click()
        expect(screen(page).locator(".xterm-rows")).to_contain_text("pasted 41")


def test_what_a_slow_page_missed_is_said_where_it_is_missing(site: Site) -> None:
    """The daemon leaves something out for who is too far behind; here it is told so between two answers."""
    with site.page() as page:
        line: list[WebSocketRoute] = []

        def between(browser: WebSocketRoute) -> None:
            browser.connect_to_server()
            line.append(browser)

        page.route_web_socket(re.compile("/ws/console/"), between)
        opened(page, site.domain())
        type_and_read(page, "echo before $((1 + 1))", "before 2")
        line[0].send(json.dumps({"type": "skipped", "bytes": 4321}))
        type_and_read(page, "echo after $((1 + 2))", "after 3")
        said = screen(page).locator(".xterm-rows").inner_text()
        assert re.search("before 2.*4321 bytes were left out here.*after 3", said, re.DOTALL)


def test_the_screen_of_a_guest(site: Site) -> None:
    with site.page() as page:
        opened(page, site.domain(), "vnc")
        canvas = screen(page).locator("canvas")
        expect(canvas).to_be_visible()
        page.wait_for_function(
            f"() => ({COLOURS})(document.querySelector('[data-console-screen] canvas')) > 1"
        )
        assert canvas.evaluate("canvas => canvas.width") >= 640
        expect(page.get_by_role("button", name="Ctrl-Alt-Del")).to_be_enabled()


def test_the_other_console_is_one_click_away(site: Site) -> None:
    with site.page() as page:
        opened(page, site.domain())
        page.get_by_role("link", name="Graphics").click()
        expect(screen(page).locator("canvas")).to_be_visible()
        expect(status(page)).to_have_text("Live")
        expect(page).to_have_url(re.compile("kind=vnc"))
        page.get_by_role("link", name="Serial").click()
        expect(screen(page).locator(".xterm-rows")).to_be_visible()
        expect(status(page)).to_have_text("Live")


def test_a_second_viewer_chooses_and_the_first_one_is_told(site: Site) -> None:
    with site.page() as first, site.page() as second:
        opened(first, site.domain())
        second.goto(f"/domains/{site.domain()}/console/")
        expect(second.get_by_text("Somebody else has this console open.")).to_be_visible()
        second.get_by_role("button", name="Look on").click()
        expect(status(second)).to_have_text("Live, read-only, 2 viewers")
        expect(status(first)).to_have_text("Live, 2 viewers")
        second.get_by_role("button", name="Take over").click()
        expect(status(second)).to_have_text(re.compile("^Live(, 2 viewers)?$"))
        expect(first.get_by_text("Somebody else has taken this console over.")).to_be_visible()
        first.get_by_role("button", name="Take it back").click()
        expect(status(first)).to_have_text(re.compile("^Live"))
        type_and_read(first, "echo mine $((1 + 1))", "mine 2")


def test_who_looks_on_sees_the_screen_too(site: Site) -> None:
    with site.page() as first, site.page() as second:
        opened(first, site.domain(), "vnc")
        second.goto(f"/domains/{site.domain()}/console/?kind=vnc")
        second.get_by_role("button", name="Look on").click()
        expect(status(second)).to_have_text("Live, read-only, 2 viewers")
        expect(second.get_by_role("button", name="Ctrl-Alt-Del")).to_be_disabled()
        second.wait_for_function(
            f"() => ({COLOURS})(document.querySelector('[data-console-screen] canvas')) > 1"
        )
        expect(status(first)).to_have_text("Live, 2 viewers")


def test_another_program_s_console_can_be_taken_over(site: Site) -> None:
    hypervisor = site.lab.hypervisors[0]
    # By force: the daemon keeps a console a little longer than its last viewer. That the guest answers an
    # Enter with its prompt is proof: virsh says "Connected" before it has the console.
    enters = "while echo; do sleep 0.1; done"
    virsh = "script -qc 'virsh -c qemu:///system console --force web1' /dev/null"
    hypervisor.start("virsh", "sh", "-c", f"{enters} | {virsh}")
    wait_for(lambda: "/ # " in hypervisor.log("virsh"), "virsh has the console")
    with site.page() as page:
        page.goto(f"/domains/{site.domain()}/console/")
        another = page.get_by_text("Another program on the host")
        lost = page.get_by_text("Somebody else has taken this console over")
        expect(another.or_(lost).filter(visible=True)).to_be_visible(timeout=15_000)
        if lost.is_visible():  # the daemon still had the console that it was just losing
            page.reload()
        expect(another).to_be_visible(timeout=15_000)
        page.get_by_role("button", name="Take over").last.click()
        expect(status(page)).to_have_text("Live")
    # Else its last Enters come between what the next test types.
    wait_for(lambda: not hypervisor.runs("virsh"), "virsh has left")


def test_a_connection_that_breaks_comes_back_by_itself(site: Site) -> None:
    with site.page() as page:
        opened(page, site.domain())
        hypervisor = site.lab.hypervisors[0]
        hypervisor.stop("virshmanagerd")
        expect(status(page)).to_have_text("Reconnecting")
        site.lab.start_daemons()
        expect(status(page)).to_have_text("Live", timeout=30_000)
        type_and_read(page, "echo again $((3 * 3))", "again 9")


def test_escape_is_the_guest_s_and_a_key_leaves(site: Site) -> None:
    with site.page() as page:
        opened(page, site.domain())
        typing = screen(page).locator("textarea")
        expect(typing).to_be_focused()
        for key in ("Escape", "Tab", "g", "d", "/"):
            page.keyboard.press(key)
            expect(typing).to_be_focused()
        page.keyboard.press("Control+c")
        page.keyboard.press("Control+Shift+Enter")
        expect(page.get_by_role("link", name="Serial")).to_be_focused()


def test_what_is_missing_is_said_and_a_stopped_guest_can_be_started(site: Site) -> None:
    with site.page() as page:
        page.goto(f"/domains/{site.domain('db1')}/console/")
        expect(page.get_by_text("db1 does not run.")).to_be_visible()
        page.get_by_role("button", name="Start").click()
        expect(status(page)).to_have_text("Live", timeout=30_000)
        site.lab.hypervisors[0].virsh("destroy", "db1")
        expect(page.get_by_text("db1 does not run.")).to_be_visible()


def test_a_display_that_is_missing_is_said_with_what_adds_it(site: Site) -> None:
    domain = site.add_guest("blind", "<graphics.*</graphics>")
    with site.page() as page:
        page.goto(f"/domains/{domain}/console/?kind=vnc")
        expect(page.get_by_text("blind has no VNC display.")).to_be_visible(timeout=15_000)
        expect(page.get_by_text("it has no display at all")).to_be_visible()
        expect(page.locator(".console-xml:visible")).to_contain_text('<graphics type="vnc"')
        page.get_by_role("link", name="Serial").click()
        expect(status(page)).to_have_text("Live")


def test_a_serial_line_that_is_missing_is_said_with_what_adds_it(site: Site) -> None:
    domain = site.add_guest("mute", "<serial.*</console>")
    with site.page() as page:
        page.goto(f"/domains/{domain}/console/")
        expect(page.get_by_text("mute has no serial console.")).to_be_visible(timeout=15_000)
        expect(page.get_by_text("it has none at all")).to_be_visible()
        expect(page.locator(".console-xml:visible")).to_contain_text('<serial type="pty"/>')
        page.get_by_role("link", name="Graphics").click()
        expect(status(page)).to_have_text("Live")


def test_a_display_that_only_spice_shows_is_said(site: Site) -> None:
    spice = '<graphics type="spice" autoport="yes" listen="127.0.0.1"/>'
    domain = site.add_guest("spicy", "<graphics.*</graphics>", spice)
    with site.page() as page:
        page.goto(f"/domains/{domain}/console/?kind=vnc")
        expect(page.get_by_text("spicy has no VNC display.")).to_be_visible(timeout=15_000)
        expect(page.get_by_text("it has SPICE only")).to_be_visible()
        page.get_by_role("link", name="Serial").click()
        expect(status(page)).to_have_text("Live")


def test_signing_out_closes_it(site: Site) -> None:
    with site.browser.new_context(base_url=ADDRESS) as context:
        page, elsewhere = site.opened(context), site.opened(context)
        sign_in(page)
        opened(page, site.domain(), "vnc")
        elsewhere.goto("/account/logout/")
        elsewhere.get_by_role("button", name="Sign out").last.click()
        expect(page.get_by_text("You are signed out")).to_be_visible(timeout=2_000)


@pytest.mark.parametrize("kind", ["serial", "vnc"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(site: Site, scheme: str, kind: str) -> None:
    with site.page(color_scheme=scheme) as page:
        opened(page, site.domain(), kind)
        broken = Axe().run(page, options=RULES).response["violations"]
        assert [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in broken] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_it_too(site: Site, scheme: str) -> None:
    with site.page(viewport=PHONE, color_scheme=scheme) as page:
        opened(page, site.domain(), "vnc")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_no_page_complained(site: Site) -> None:
    """Last of this file: no script failed, and nothing was kept out by the content security policy."""
    assert site.complaints == []
