"""WCAG 2.2 AA: axe-core finds nothing to say about any page, in both themes."""

from collections.abc import Sequence
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

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
    *("/hosts/", "/hosts/?search=nobody", "/hosts/1/", "/hosts/1/trust/", "/hosts/1/retire/", "/hosts/add/"),
    *("/domains/", "/domains/?state=running", "/domains/?stale=true", "/domains/1/", "/domains/1/verbs/"),
    *("/domains/1/verbs/destroy/", "/domains/1/edit/", "/domains/1/forget/", "/hosts/1/domains/define/"),
    *("/domains/bulk/?verb=destroy&ids=1&ids=2&ids=3", "/operations/", "/operations/?search=nobody"),
    *("/join-keys/", "/join-keys/create/", "/account/tokens/", "/account/password/change/", "/hosts/99999/"),
    *("/account/factors/", "/account/sessions/", "/account/quota/", "/audit/"),
    *("/users/", "/users/?search=nobody", "/users/1/", "/groups/", "/groups/1/"),
    *("/groups/1/rename/", "/explain/?target=domain"),
    "/explain/?user=ada&verb=see&target=everything&name=",
]
ON_A_PHONE = [
    *("/", "/discovery/", "/domains/", "/domains/1/", "/operations/", "/users/", "/users/1/", "/groups/1/"),
    *("/audit/", "/hosts/1/trust/"),
]
WITH_TABLES = [
    *("/discovery/ranges/1/", "/hosts/", "/join-keys/", "/account/tokens/", "/account/sessions/", "/groups/"),
    "/explain/?user=ada&verb=see&target=everything&name=",
]
TEAM = """
from datetime import timedelta
from access import services
from access.choices import Role, Target
from access.models import Place
from django.contrib.auth.models import User
from django.utils import timezone
from domains.models import Domain
from hosts.models import Operation
ada = User.objects.get(username="ada")
team = services.create_group("night shift")
services.put_into_groups(ada, [team], actor=ada)
services.grant(team, Role.OPERATOR, Place(Target.EVERYTHING), actor=ada)
services.grant(ada, Role.ADMINISTRATOR, Place(Target.HOST, object_id=1), actor=ada)
services.create_token(user=ada, name="the backups of rack 4")
later = timezone.now() + timedelta(days=1)
for domain, state in zip(Domain.objects.all(), ("failed", "expired", "unknown", "accepted")):
    told = {"verb": "metadata", "state": state, "deadline": later, "due_at": later}
    target = {"target_type": "domain", "target_id": domain.pk, "target_uuid": domain.uuid, "target_name": "x"}
    Operation.objects.create(host=domain.host, host_name="hv-01", **told, **target)
"""
# How far the page, or a table on it, reaches beyond what is seen of it.
BEYOND = """
() => [document.documentElement, ...document.querySelectorAll(".table-box")]
    .map((box) => box.scrollWidth - box.clientWidth).filter((pixels) => pixels > 0)
"""

# What is pressed and too low for a finger. A switch answers beyond what is seen of it.
LOW = """
() => [...document.querySelectorAll("button:not(.switch), summary, .btn, .chip, select, input.form-control")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }))
    .filter((one) => one.getBoundingClientRect().height < 40).map((one) => one.outerHTML)
"""


@pytest.fixture(scope="module")
def granted(crawled: Site) -> Site:
    """Ada is in a group; both were granted something, and she has a token. Operations failed, and go on."""
    crawled.manage("shell", "-v0", "-c", TEAM)
    return crawled


def violations(site: Site, paths: Sequence[str], **options: Any) -> list[str]:
    """What axe says of each page: the page, the rule and the first element that breaks it."""
    said = []
    with site.context(**options) as context:
        page = context.new_page()
        for path in paths:
            page.goto(path)
            page.wait_for_load_state("networkidle")
            said += [f"{path}: {rule}" for rule in said_of(page)]
    return said


def said_of(page: Page) -> list[str]:
    """What axe says of a page as it stands: the rule and the first element that breaks it."""
    broken = Axe().run(page, options=RULES).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in broken]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(granted: Site, scheme: str) -> None:
    assert violations(granted, PATHS, color_scheme=scheme) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_way_in_is_accessible(crawled: Site, scheme: str) -> None:
    assert violations(crawled, ["/account/login/"], signed_in=False, color_scheme=scheme) == []


def test_a_phone_gets_accessible_pages(granted: Site) -> None:
    assert violations(granted, ON_A_PHONE, viewport=PHONE) == []


def test_a_phone_scrolls_nothing_sideways_and_has_what_a_finger_can_press(granted: Site) -> None:
    with granted.page(viewport=PHONE) as page:
        for path in (*ON_A_PHONE, *WITH_TABLES):
            page.goto(path)
            assert page.evaluate(BEYOND) == [], path
            assert page.evaluate(LOW) == [], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_opens_over_the_table_is_accessible(crawled: Site, scheme: str) -> None:
    with crawled.context(color_scheme=scheme) as context:
        page = context.new_page()
        page.goto("/domains/?state=running")
        page.wait_for_load_state("networkidle")
        row = page.locator("#domains tbody tr").filter(has=page.get_by_role("button", name="Shut down")).first
        row.get_by_role("checkbox").check()
        row.locator("[data-menu]").click()
        expect(page.locator("#menu")).to_be_visible()
        assert said_of(page) == []
        page.keyboard.press("Escape")
        page.locator("#bulk").get_by_role("button", name="Shut down").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_text("Order, pauses").or_(page.get_by_text("Shut down: 1 domain?")).first.click()
        assert said_of(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_operation_s_page_is_accessible(crawled: Site, scheme: str) -> None:
    with crawled.context(color_scheme=scheme) as context:
        page = context.new_page()
        page.goto("/domains/?state=running")
        page.wait_for_load_state("networkidle")
        row = page.locator("#domains tbody tr").filter(has=page.get_by_role("button", name="Shut down")).first
        row.get_by_role("button", name="Shut down").click()
        expect(page.locator("#toasts a")).to_be_visible(timeout=20_000)
        assert said_of(page) == []
        page.locator("#toasts a").click()
        expect(page.locator(".timeline")).to_be_visible()
        assert said_of(page) == []
