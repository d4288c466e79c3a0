"""`script/screenshots`: take the pictures of the README from a demo that this starts and stops."""

import secrets
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.virshmanager.serving import ROOT, free_port, running

from .site import CHROMIUM, FLAGS, PHONE

IMAGES = ROOT / "docs" / "images"
DESK = {"width": 1200, "height": 750}
SHOTS = [
    ("overview-light", "/", "light", DESK),
    ("range-light", "/discovery/ranges/1/", "light", DESK),
    ("domains-dark", "/domains/", "dark", DESK),
    ("host-phone", "/hosts/1/", "light", PHONE),
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
    for name, path, scheme, size in SHOTS:
        options = {"base_url": address, "color_scheme": scheme, "viewport": size}
        with browser.new_context(**options) as context:  # type: ignore[arg-type]
            page = context.new_page()
            sign_in(page, password)
            take(page, name, path)


def sign_in(page: Page, password: str) -> None:
    page.goto("/account/login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def take(page: Page, name: str, path: str) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
