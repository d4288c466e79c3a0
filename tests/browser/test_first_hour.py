"""What a person does in the first hour, in a real browser against the whole server."""

import re

import pytest
from playwright.sync_api import Page, expect

from .conftest import add_range, show_the_end
from .site import FOREIGN, HYPERVISORS, OTHERS, PHONE, Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LISTEN = """address => new Promise(resolve => {
  const socket = new WebSocket(address);
  const told = [];
  socket.onmessage = event => told.push(JSON.parse(event.data).type);
  socket.onclose = event => resolve({code: event.code, told});
})"""
SHOWS = """([column, row, columns, kind]) => {
  const canvas = document.querySelector("canvas.map");
  const size = canvas.width / columns;
  const [red, green, blue] = canvas.getContext("2d")
    .getImageData(column * size + size / 3, row * size + size / 3, 1, 1).data;
  const swatch = getComputedStyle(document.querySelector(`.swatch-${kind}`)).backgroundColor;
  return swatch === `rgb(${red}, ${green}, ${blue})`;
}"""


def keep(page: Page) -> None:
    """Mark the page: a reload would lose the mark."""
    page.evaluate("window.kept = true")


def was_kept(page: Page) -> bool:
    return bool(page.evaluate("window.kept === true"))


def test_a_stranger_sees_the_login_and_nothing_else(site: Site) -> None:
    with site.page(signed_in=False) as page:
        for path in ("/", "/hosts/", "/domains/", "/discovery/", "/join-keys/", "/hosts/1/row/"):
            page.goto(path)
            expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_stranger_s_socket_is_closed(site: Site) -> None:
    with site.page(signed_in=False) as page:
        page.goto("/account/login/")
        closed = page.evaluate(LISTEN, site.address.replace("http", "ws") + "/ws/live/")
    assert closed == {"code": 4401, "told": []}


def test_the_setup_link_works_once(site: Site) -> None:
    with site.context(signed_in=False) as context:
        answer = context.new_page().goto(site.setup_link)
    assert answer
    assert answer.status == 404


def test_an_empty_installation_scans_nothing_and_says_what_to_do(site: Site) -> None:
    with site.page() as page:
        page.goto("/discovery/")
        expect(page.get_by_text("No network is watched yet")).to_be_visible()
        page.goto("/hosts/")
        expect(page.get_by_text("No host has been found yet")).to_be_visible()
        page.goto("/domains/")
        expect(page.get_by_text("No domain is known yet")).to_be_visible()
    assert (
        site.manage("shell", "-v0", "-c", "from discovery.models import *; print(Crawl.objects.count())")
        == "0\n"
    )


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.0.0.1 --script=x", "nonsense"])
def test_a_network_that_cannot_be_is_refused_with_the_reason(site: Site, cidr: str) -> None:
    with site.context() as context:  # not site.page(): Chromium calls every answer of 422 an error
        page = context.new_page()
        page.goto("/discovery/ranges/add/")
        page.get_by_label("Network (CIDR)").fill(cidr)
        page.get_by_role("button", name="Add and crawl now").click()
        expect(page.locator(".field-error")).to_be_visible()
        assert page.get_by_label("Network (CIDR)").input_value() == cidr


def test_adding_a_range_fills_its_map_without_a_reload(site: Site) -> None:
    with site.page() as page:
        add_range(page, site)
        keep(page)
        expect(page.locator(".legend li").first).to_contain_text(str(HYPERVISORS), timeout=60_000)
        expect(page.locator(".legend")).to_contain_text(
            re.compile(rf"Foreign\s*{FOREIGN}\s*Others\s*{OTHERS}")
        )
        show_the_end(page)
        expect(page.locator("#addresses")).to_contain_text("127.0.79.3")
        expect(page.locator("#crawls")).to_contain_text("Succeeded")
        for column, kind in enumerate(("other", "hypervisor", "hypervisor", "hypervisor")):
            page.wait_for_function(SHOWS, arg=[column, 0, 4, kind])
        assert was_kept(page)


def test_the_map_tells_and_opens_an_address(crawled: Site) -> None:
    with crawled.page() as page:
        page.goto("/discovery/")
        page.wait_for_load_state("networkidle")
        page.wait_for_function(SHOWS, arg=[1, 0, 4, "hypervisor"])
        canvas = page.locator("canvas.map")
        box = canvas.bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] * 3 / 8, box["y"] + box["height"] / 8)
        expect(page.locator("[data-map-tip]")).to_have_text("127.0.79.1 · hypervisor")
        page.mouse.down()
        page.mouse.up()
        expect(page.get_by_role("dialog")).to_contain_text("127.0.79.1")
        page.keyboard.press("Escape")
        canvas.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(page.locator("[data-map-tip]")).to_contain_text("127.0.79.2")


def test_finding_a_domain_from_the_keyboard(crawled: Site) -> None:
    with crawled.page() as page:
        page.goto("/hosts/")
        page.keyboard.press("g")
        page.keyboard.press("d")
        expect(page).to_have_url(re.compile("/domains/$"))
        rows = page.locator("#domains tbody tr")
        name = rows.nth(4).locator("a.name").inner_text()
        page.keyboard.press("/")
        page.keyboard.type(name)
        expect(rows).to_have_count(1)
        expect(page).to_have_url(re.compile(f"search={name}"))
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        expect(page.get_by_text("/var/lib/libvirt/images/")).not_to_have_count(0)
        expect(page.locator("pre.xml")).to_contain_text(f"<name>{name}</name>")


def test_a_filter_is_in_the_address(crawled: Site) -> None:
    with crawled.page() as page:
        page.goto("/domains/")
        page.get_by_role("link", name=re.compile("^Running")).click()
        expect(page).to_have_url(re.compile("state=running"))
        for state in page.locator("#domains tbody .state").all_inner_texts():
            assert state == "Running"


def test_a_change_of_status_arrives_without_a_reload(crawled: Site) -> None:
    with crawled.page() as page, crawled.page() as elsewhere:
        page.goto("/hosts/")
        expect(page.locator("#live-badge")).to_have_text("Live")
        keep(page)
        host = page.locator("#hosts tbody tr").filter(has_text="127.0.79.3")
        expect(host).to_contain_text("Online")
        elsewhere.goto(str(host.locator("a.name").get_attribute("href")))
        elsewhere.get_by_role("link", name="Retire").click()
        expect(elsewhere.get_by_role("dialog")).to_contain_text("Its domains keep running")
        elsewhere.get_by_role("button", name="Retire host").click()
        expect(host).to_contain_text("Retired")
        assert was_kept(page)


def test_join_json_is_shown_once(crawled: Site) -> None:
    with crawled.page() as page:
        page.goto("/join-keys/create/")
        page.get_by_role("button", name="Create", exact=True).click()
        assert '"secret"' in page.locator("#join").inner_text()
        page.goto("/join-keys/")
        assert "secret" not in page.content()


def test_reading_works_without_scripts(crawled: Site) -> None:
    with crawled.page(java_script_enabled=False) as page:
        page.goto("/domains/?search=01")
        assert page.locator("#domains tbody tr").count() > 0
        page.locator("#domains a.name").first.click()
        expect(page.locator("#domain")).to_contain_text("Memory")
        page.goto("/discovery/")
        expect(page.locator(".legend")).to_contain_text("Hypervisors")


def test_a_phone_shows_everything_in_its_width(crawled: Site) -> None:
    with crawled.page(viewport=PHONE) as page:
        for path in ("/", "/domains/", "/hosts/", "/discovery/", "/hosts/1/", "/domains/1/", "/join-keys/"):
            page.goto(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE["width"], path


def test_no_page_complained(crawled: Site) -> None:
    """Last of this file: no script failed, nothing was kept out by the content security policy."""
    assert crawled.complaints == []
