"""WCAG 2.2 AA: axe-core finds nothing to say about any page, in both themes."""

from collections.abc import Sequence
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from .site import PHONE, Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
PATHS = [
    *("/", "/discovery/", "/discovery/ranges/1/", "/discovery/ranges/add/", "/discovery/ranges/1/edit/"),
    *("/discovery/ranges/1/at/127.0.79.7/", "/discovery/ranges/1/delete/", "/discovery/crawls/1/"),
    *("/hosts/", "/hosts/?search=nobody", "/hosts/1/", "/hosts/1/retire/", "/hosts/add/"),
    *("/domains/", "/domains/?state=running", "/domains/1/"),
    *("/join-keys/", "/join-keys/create/", "/account/tokens/", "/account/password/change/", "/hosts/99999/"),
]


def violations(site: Site, paths: Sequence[str], **options: Any) -> list[str]:
    """What axe says of each page: the page, the rule and the first element that breaks it."""
    said = []
    with site.context(**options) as context:
        page = context.new_page()
        for path in paths:
            page.goto(path)
            page.wait_for_load_state("networkidle")
            broken = Axe().run(page, options=RULES).response["violations"]
            said += [f"{path}: {rule['id']}: {rule['nodes'][0]['html']}" for rule in broken]
    return said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(crawled: Site, scheme: str) -> None:
    assert violations(crawled, PATHS, color_scheme=scheme) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_way_in_is_accessible(crawled: Site, scheme: str) -> None:
    assert violations(crawled, ["/account/login/"], signed_in=False, color_scheme=scheme) == []


def test_a_phone_gets_accessible_pages(crawled: Site) -> None:
    assert violations(crawled, ["/", "/discovery/", "/domains/"], viewport=PHONE) == []
