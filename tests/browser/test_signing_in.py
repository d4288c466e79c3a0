"""Passkeys in a real browser, whose authenticator is Chromium's virtual one. They need a name: localhost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect

from .site import PASSWORD, PHONE, Site
from .test_wcag import said_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
SHOWN_ON = [
    *("/account/factors/", "/account/factors/app/activate/", "/account/factors/keys/add/"),
    *("/account/factors/recovery/", "/account/factors/recovery/generate/"),
    *("/account/reauthenticate/code/", "/account/reauthenticate/passkey/"),
]


class Device:
    """The authenticator of one page."""

    def __init__(self, page: Page) -> None:
        self.session: CDPSession = page.context.new_cdp_session(page)
        self.session.send("WebAuthn.enable")
        added = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        self.id = added["authenticatorId"]

    def verify(self, *, its_user: bool) -> None:
        """From now on the finger on it is its user's, or another's."""
        told = {"authenticatorId": self.id, "isUserVerified": its_user}
        self.session.send("WebAuthn.setUserVerified", told)


@contextmanager
def by_name(site: Site, **options: Any) -> Iterator[Page]:
    address = site.address.replace("127.0.0.1", "localhost")
    with site.page(signed_in=False, base_url=address, **options) as page:
        yield page


@pytest.fixture(scope="module")
def sam(site: Site) -> str:
    """The name of another administrator, who may be given factors."""
    make = f"User.objects.create_superuser('sam', password={PASSWORD!r})"
    site.manage("shell", "-v0", "-c", f"from django.contrib.auth.models import User; {make}")
    return "sam"


def give_password(page: Page, name: str) -> None:
    page.goto("/account/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page: Page) -> None:
    page.goto("/account/logout/")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def overview(page: Page) -> None:
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_passkey_signs_in_alone_and_as_a_second_factor(site: Site, sam: str) -> None:
    with by_name(site) as page:
        device = Device(page)
        give_password(page, sam)
        overview(page)
        page.goto("/account/factors/")
        page.get_by_role("link", name="Add a passkey").click()
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        page.get_by_label("Passwordless").check()
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.locator("#codes")).to_contain_text("\n")
        assert len(page.locator("#codes").inner_text().split()) == 10
        assert pages_fail_in(page) == []

        sign_out(page)
        device.verify(its_user=False)
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page.get_by_text("The passkey was not used")).to_be_visible()
        device.verify(its_user=True)
        page.get_by_role("button", name="Sign in with a passkey").click()
        overview(page)

        sign_out(page)
        give_password(page, sam)
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        assert said_of(page) == []
        page.goto("/hosts/")
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        page.get_by_role("button", name="Use a passkey").click()
        overview(page)


def pages_fail_in(page: Page) -> list[str]:
    """What axe says of the pages of factors, in both themes, and which of them are too wide for a phone."""
    found = []
    for path in SHOWN_ON:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.goto(path)
            page.wait_for_load_state("networkidle")
            found += [f"{path}: {said}" for said in said_of(page)]
    before = page.viewport_size
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # two numbers
    for path in SHOWN_ON:
        page.goto(path)
        if page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
            found.append(f"{path}: wider than a phone")
    page.set_viewport_size(before)  # type: ignore[arg-type]  # it was set
    return found


def test_an_address_without_a_name_says_why_it_offers_no_passkey(site: Site) -> None:
    with site.page(signed_in=False) as page:
        page.goto("/account/login/")
        expect(page.get_by_text("Passkeys need a name")).to_be_visible()
        expect(page.get_by_role("button", name="Sign in with a passkey")).to_be_hidden()


def test_nothing_was_kept_out_by_the_content_security_policy(site: Site) -> None:
    assert not [said for said in site.complaints if "Content Security Policy" in said]
