"""One server for all browser tests. The fixtures are the steps of a first hour."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect, sync_playwright

from .site import CHROMIUM, HYPERVISORS, NETWORK, PASSWORD, Site, serving


@pytest.fixture(scope="package")
def play() -> Iterator[Playwright]:
    """One for all browsers: a thread may have no second."""
    if not Path(CHROMIUM).exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def fresh(tmp_path_factory: pytest.TempPathFactory, play: Playwright) -> Iterator[Site]:
    """A server nobody has set up."""
    with serving(tmp_path_factory.mktemp("site"), play) as site:
        yield site


@pytest.fixture(scope="package")
def site(fresh: Site) -> Site:
    """Ada has made her account by the setup link, and is signed in."""
    return set_up(fresh)


def set_up(site: Site) -> Site:
    with site.page(signed_in=False) as page:
        page.goto(site.setup_link)
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label(re.compile("Password.*confirmation|confirm", re.IGNORECASE)).fill(PASSWORD)
        page.get_by_role("button", name="Create and sign in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        site.state = dict(page.context.storage_state())
    return site


def add_range(page: Page, site: Site) -> None:
    page.goto("/discovery/")
    page.get_by_role("link", name="Add range").click()
    page.get_by_label("Network (CIDR)").fill(NETWORK)
    page.get_by_label("Name").fill("Rack 4")
    page.get_by_label("Port of the daemons").fill(str(site.network.port))
    page.get_by_role("button", name="Add and crawl now").click()


def show_the_end(page: Page) -> None:
    """What is out of sight is not fetched again until it is seen."""
    page.evaluate("scrollTo(0, document.body.scrollHeight)")


@pytest.fixture(scope="package")
def crawled(site: Site) -> Site:
    """A range was added on the page (by the test of that, if it ran), and its first crawl has ended."""
    with site.page() as page:
        page.goto("/discovery/")
        if page.get_by_role("link", name="Rack 4", exact=True).count():
            page.get_by_role("link", name="Rack 4", exact=True).click()
        else:
            add_range(page, site)
        expect(page.locator("#crawls")).to_be_attached()
        show_the_end(page)
        expect(page.locator("#crawls")).to_contain_text("Succeeded", timeout=60_000)
        page.goto("/hosts/?status=online")
        expect(page.locator("#hosts tbody tr")).to_have_count(HYPERVISORS, timeout=30_000)
    return site
