"""Scripts in names: in a real browser none of thirty runs, on any page, and no policy has to stop one."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import Page

from .payloads import ALL, MARK, PAYLOADS
from .site import Site

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.attack("Stored cross-site scripting"),
]

REFLECTED = [
    f"/domains/?search={quote(ALL)}",
    f"/hosts/?tag={quote(ALL)}&ordering={quote(ALL)}",
    f"/nowhere/{quote(ALL, safe='')}/",
    f"/account/login/?next={quote(ALL)}",
]
# What the browser's policy kept from running: on a page that escapes there is nothing to keep.
COUNT_REPORTS = """
    globalThis.reports = [];
    addEventListener("securitypolicyviolation", event => reports.push(event.violatedDirective));
"""


@pytest.fixture(scope="module")
def filled(site: Site) -> list[str]:
    """The pages of a fleet of hostile names."""
    code = "from tests.browser.payloads import fill, pages; import json; fill(); print(json.dumps(pages()))"
    found: list[str] = json.loads(site.manage("shell", "-v0", "-c", code).splitlines()[-1])
    return found


def judged(page: Page, path: str) -> str:
    """What is wrong with a page; empty: nothing."""
    answer = page.goto(path)
    assert answer
    assert answer.status in {200, 404}, path
    elements = page.locator(f"[{MARK}], base, a[href^='javascript:' i]").count()
    reports = page.evaluate("reports")
    return f"{path}: {elements} elements, {reports}" if elements or reports else ""


def test_no_script_in_a_name_runs(
    site: Site, filled: list[str], record_property: Callable[[str, object], None]
) -> None:
    record_property("tried", len(PAYLOADS) * len([*filled, *REFLECTED]))
    struck: list[str] = []
    with site.page() as page:
        page.expose_function("struck", lambda *_: struck.append(page.url))
        page.add_init_script(COUNT_REPORTS)
        wrong = [found for path in [*filled, *REFLECTED] if (found := judged(page, path))]
        assert wrong == []
        assert struck == []
        # That both are counted at all:
        page.evaluate("struck()")
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=struck()>')")
        page.wait_for_function("reports.length == 1")
        assert struck == [page.url]
