"""A host is adopted as a person does it: a code that was read there, typed at the list of hosts."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, expect

from tests.simulator.playing import ROOT, simulation

from .conftest import set_up
from .site import Site, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

NETWORK, ADDRESS = "127.0.80.0/29", "127.0.80.1"


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, play: Playwright) -> Iterator[Site]:
    """A server of its own: others begin with one that knows no network."""
    with serving(tmp_path_factory.mktemp("adopting"), play) as fresh:
        yield set_up(fresh)


def code_of(state: Path) -> str:
    """What `virshmanagerd code` prints on the host."""
    command = [sys.executable, "-m", "virshmanagerd", "code", "--state-dir", str(state)]
    return subprocess.check_output(command, cwd=ROOT, text=True).splitlines()[0]


def test_a_host_is_adopted_from_the_list(site: Site, tmp_path: Path) -> None:
    alone = ("--hosts", "1", "--foreign", "0", "--domains", "1")
    with simulation(tmp_path, *alone, network=NETWORK) as network, site.page() as page:
        site.manage("range", NETWORK, "--port", str(network.port))
        page.goto("/hosts/add/")
        page.get_by_label("IP address").fill(ADDRESS)
        page.get_by_label("Port").fill(str(network.port))
        page.get_by_role("button", name="Add host").click()
        expect(page.get_by_text("has not proved that it is yours")).to_be_visible(timeout=20_000)
        page.goto("/hosts/?trust=found")
        row = page.locator("#hosts tbody tr").filter(has_text=ADDRESS)
        row.get_by_role("link", name="Adopt").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Code").fill(code_of(tmp_path / "hv-01" / "state"))
        dialog.get_by_role("button", name="Adopt").click()
        expect(page.get_by_text("is yours now")).to_be_visible(timeout=20_000)
