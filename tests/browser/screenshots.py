"""`script/screenshots`: take the pictures of the README from a demo that this starts and stops."""

import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.virshmanager.serving import ROOT, free_port, running

from .site import CHROMIUM, FLAGS, PHONE

IMAGES = ROOT / "docs" / "images"
DESK = {"width": 1200, "height": 750}
Shot = Callable[[Page], None]


def go_to(path: str) -> Shot:
    return lambda page: _arrive(page, path)


def selected(page: Page) -> None:
    """The table with three rows selected, and one that waits for its verb."""
    _arrive(page, "/domains/")
    rows = page.locator("#domains tbody tr")
    for number in range(1, 4):
        rows.nth(number).get_by_role("checkbox").check()


def a_domain(page: Page) -> None:
    _arrive(page, "/domains/?state=running")
    page.locator("#domains a.name").first.click()
    page.wait_for_load_state("networkidle")


def an_operation(page: Page) -> None:
    """Definitions that libvirt refuses need no hypervisor that runs anything."""
    _arrive(page, "/hosts/?status=online")
    page.locator("#hosts tbody a.name").first.click()
    page.get_by_role("link", name="New domain from XML").click()
    page.get_by_label("Domain XML").fill("<domain type='test'>\n  <name>web-1</name>\n</domain>")
    page.get_by_role("button", name="Define").click()
    page.wait_for_load_state("networkidle")
    _arrive(page, "/operations/?verb=define")
    page.locator("#operations a.name").first.click()
    page.wait_for_load_state("networkidle")


def _arrive(page: Page, path: str) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")


SHOTS: list[tuple[str, Shot, str, dict[str, int]]] = [
    ("range-light", go_to("/discovery/ranges/1/"), "light", DESK),
    ("domains-dark", selected, "dark", DESK),
    ("domain-light", a_domain, "light", DESK),
    ("operation-phone", an_operation, "light", PHONE),
    ("overview-light", go_to("/"), "light", DESK),
]


def main() -> int:
    IMAGES.mkdir(parents=True, exist_ok=True)
    port, password = str(free_port()), secrets.token_urlsafe(12)
    variables = {"VIRSHMANAGER_PORT": port, "VIRSHMANAGER_ADMIN_PASSWORD": password}
    with (
        tempfile.TemporaryDirectory() as home,
        running(Path(home), "--demo", **variables),
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with browser:
            take_all(browser, f"http://127.0.0.1:{port}", password)
    return 0


def take_all(browser: Browser, address: str, password: str) -> None:
    for name, shot, scheme, size in SHOTS:
        options = {"base_url": address, "color_scheme": scheme, "viewport": size}
        with browser.new_context(**options) as context:  # type: ignore[arg-type]
            page = context.new_page()
            sign_in(page, password)
            shot(page)
            page.screenshot(path=IMAGES / f"{name}.png")


def sign_in(page: Page, password: str) -> None:
    page.goto("/account/login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


if __name__ == "__main__":
    sys.exit(main())
