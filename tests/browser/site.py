"""A whole server as a person starts it, a simulated network, and Debian's Chromium to look at it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from tests.simulator.playing import Simulation, simulation
from tests.virshmanager.serving import ROOT, environment, free_port, running

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NETWORK = "127.0.79.0/28"
HYPERVISORS, FOREIGN, OTHERS = 3, 1, 12
PASSWORD = "Zebra-lamp-42"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@dataclass
class Site:
    """A running server, and the words that its browser pages wrote to the console as errors."""

    address: str
    setup_link: str
    network: Simulation
    home: Path
    variables: dict[str, str]
    browser: Browser
    state: dict[str, object] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def context(self, *, signed_in: bool = True, **options: Any) -> BrowserContext:
        kept = {"storage_state": self.state} if signed_in else {}
        return self.browser.new_context(**({"base_url": self.address, "viewport": DESK} | kept | options))

    @contextmanager
    def page(self, *, signed_in: bool = True, **options: Any) -> Iterator[Page]:
        """A page of a fresh browser; what it writes to the console as an error fails the tests at the end."""
        with self.context(signed_in=signed_in, **options) as context:
            page = context.new_page()
            page.on(
                "console", lambda said: self.complaints.append(said.text) if said.type == "error" else None
            )
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            yield page

    def manage(self, *arguments: str) -> str:
        """Run a management command on this server's state, and return what it prints."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.check_output(
            command, cwd=ROOT, env=environment(self.home, **self.variables), text=True
        )


def join_file(home: Path, folder: Path, variables: dict[str, str]) -> Path:
    command = [sys.executable, "manage.py", "join_key", "create"]
    text = subprocess.check_output(command, cwd=ROOT, env=environment(home, **variables), text=True)
    assert json.loads(text)["version"] == 1
    path = folder / "join.json"
    path.write_text(text)
    path.chmod(0o600)
    return path


@contextmanager
def serving(folder: Path, play: Playwright) -> Iterator[Site]:
    """Start everything; nothing has been looked at or set up yet."""
    home = folder / "home"
    variables = {"VIRSHMANAGER_PORT": str(free_port())}
    size = ("--hosts", str(HYPERVISORS), "--foreign", str(FOREIGN), "--domains", "10")
    with running(home, **variables) as (_, said):
        link = re.search(r"http://\S+/setup/\S+", "\n".join(said))
        assert link, said
        join = join_file(home, folder, variables)
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with (
            simulation(folder / "hosts", *size, "--join-file", str(join), network=NETWORK) as network,
            chromium,
        ):
            address = f"http://127.0.0.1:{variables['VIRSHMANAGER_PORT']}"
            yield Site(address, link.group(), network, home, variables, chromium)
