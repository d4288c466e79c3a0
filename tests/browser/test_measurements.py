"""Charts in the browser: what was measured is drawn, told in words, and kept current."""

import re

import pytest
from playwright.sync_api import Page, expect

from .site import Site

pytestmark = pytest.mark.browser

Keys = tuple[int, int, int]

# Ten minutes of a domain at half of its two CPUs, told as the watcher does. Its host is never dialled:
# nothing else is measured of it, and nothing of another domain.
MEASURE = """
import time, uuid
from datetime import timedelta
from django.utils import timezone
from domains.models import Domain
from domains.services import record_stats
from hosts.models import Host
a_minute_ago = timezone.now() - timedelta(minutes=1)
told = {"address": "198.51.100.7", "trust": "owned", "last_seen": a_minute_ago, "listed_at": a_minute_ago}
host = Host.objects.create(uuid=uuid.uuid4(), hostname="measured", **told)
row = Domain.objects.create(host=host, uuid=uuid.uuid4(), name="measured", state="running", vcpus=2)
idle = Domain.objects.create(host=host, uuid=uuid.uuid4(), name="idle", state="shutoff", vcpus=1)
now = time.time()
for seconds in range(-600, 1, 30):
    time.time = lambda: now + seconds
    counted = int(now + seconds)
    block = {"rd_bytes": 2**20 * counted, "wr_bytes": 0, "rd_reqs": 0, "wr_reqs": 0}
    domain = {"uuid": str(row.uuid), "cpu_time_ns": counted * 10**9, "vcpus": 2, "memory": 2**30}
    of_host = {"cpu_time_ns": counted * 10**9, "cpus": 4, "load": [1, 2, 3]}
    record_stats(host, {"at": now + seconds, "domains": [domain | {"block": block}], "host": of_host})
print(row.pk, row.host_id, idle.pk)
"""


@pytest.fixture(scope="module")
def measured(crawled: Site) -> Keys:
    """The keys of a domain that was measured, of its host, and of a domain that was not."""
    told = crawled.manage("shell", "--no-imports", "-c", MEASURE).split()
    return int(told[-3]), int(told[-2]), int(told[-1])


def look_at_charts(page: Page) -> None:
    """They fetch nothing until they are seen."""
    page.locator("[data-charts]").scroll_into_view_if_needed()


def test_a_domain_that_was_not_measured_says_so(crawled: Site, measured: Keys) -> None:
    with crawled.page() as page:
        page.goto(f"/domains/{measured[2]}/")
        look_at_charts(page)
        expect(page.get_by_text("Nothing was measured in this time.")).to_be_visible()


def test_charts_of_a_domain(crawled: Site, measured: Keys) -> None:
    with crawled.page() as page:
        page.goto(f"/domains/{measured[0]}/")
        look_at_charts(page)
        cpu = page.locator("figure.chart", has_text="CPU")
        expect(cpu.get_by_role("img")).to_have_attribute("aria-label", re.compile("now 50 %, highest 50 %"))
        expect(cpu.locator("canvas")).to_be_visible()
        disks = page.locator("figure.chart", has_text="Disks")
        expect(disks).to_contain_text("1 MiB/s")
        with page.expect_response(lambda answer: "step=2" in answer.url):
            pass  # it fetches the end again by itself
        page.get_by_role("button", name="1 hour").click()
        expect(cpu.get_by_role("img")).to_have_attribute("aria-label", re.compile("highest 50 %"))
        page.get_by_role("button", name="24 hours").click()
        expect(page.get_by_role("button", name="24 hours")).to_have_attribute("aria-pressed", "true")


def test_charts_of_a_host(crawled: Site, measured: Keys) -> None:
    with crawled.page() as page:
        page.goto(f"/hosts/{measured[1]}/")
        look_at_charts(page)
        load = page.locator("figure.chart", has_text="Load")
        expect(load.get_by_role("img")).to_have_attribute(
            "aria-label", re.compile("15 min: now 3, highest 3")
        )


def test_the_table_of_domains_has_a_sparkline(crawled: Site, measured: Keys) -> None:
    with crawled.page() as page:
        page.goto("/domains/?state=running")
        row = page.locator(f"#domain-{measured[0]}")
        expect(row.get_by_role("img", name="CPU of the last minutes, now 50 %")).to_be_visible()
