"""WCAG 2.2 AA: axe-core finds nothing to say about any page, in both themes."""

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
    *("/join-keys/", "/join-keys/create/", "/account/tokens/", "/account/password/change/"),
]


def violations(site: Site, path: str, scheme: str, **options: Any) -> list[str]:
    with site.context(color_scheme=scheme, **options) as context:
        page = context.new_page()
        page.goto(path)
        page.wait_for_load_state("networkidle")
        found = Axe().run(page, options=RULES)
        return [f"{path}: {rule['id']}: {rule['nodes'][0]['html']}" for rule in found.response["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(crawled: Site, scheme: str) -> None:
    assert [wrong for path in PATHS for wrong in violations(crawled, path, scheme)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_way_in_and_what_is_not_there_are_accessible(crawled: Site, scheme: str) -> None:
    paths = ("/account/login/", "/hosts/99999/")
    assert [
        wrong for path in paths for wrong in violations(crawled, path, scheme, signed_in=path[1] == "h")
    ] == []


def test_a_phone_gets_accessible_pages(crawled: Site) -> None:
    paths = ("/", "/discovery/", "/domains/")
    assert [wrong for path in paths for wrong in violations(crawled, path, "light", viewport=PHONE)] == []
