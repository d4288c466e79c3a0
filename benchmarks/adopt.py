"""From a daemon that was just installed to an owned host: by code with a person, by join key without one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.site import CHROMIUM, FLAGS, PASSWORD

from .fleet import FIRST, free_port
from .tools import fleet
from .tools.person import CODE_KEY, Person
from .tools.report import Figure, Target, begin, section
from .tools.server import PYTHON, server
from .tools.whole import wait_until, whole

RUNS = 3
NETWORK = "127.0.64.0/24"
HOSTS = 100
# How often newcomers are looked for, by default every 600 or 1,800 s; what is waited is in the figure.
LOOK_EVERY = 10
MOST_PERSON, MOST_HOSTS = 60.0, 120.0
GIVEN_UP = 300.0
OWNED = "SELECT count(*) FROM hosts_host WHERE trust = 'owned' AND listed_at IS NOT NULL"


def main() -> None:
    runs = begin("adopt", "from an installed daemon to an owned host", runs=RUNS, root=False)
    section("by code: a person who is signed in, and root on the host")
    by_code(runs)
    for hosts in (1, HOSTS):
        section(f"by join key, nobody does anything: {hosts} at once, looked for every {LOOK_EVERY} s")
        by_join_key(hosts, runs)


def by_code(runs: int) -> None:
    """One host after another, each by its own code; all of them run before the first is adopted."""
    in_all = Figure("from the list of hosts to the owned host", "s", 1)
    person = Figure("of that, what the person takes", "s", 1)
    with server() as ours:
        port, folder = free_port(), ours.home / "hosts"
        ours.make_range(NETWORK, max_rate=None, port=port)
        with (
            fleet.on_loopback(NETWORK, runs, folder, port=port, join_file=None),
            whole(ours) as running,
            browsing(running.port) as page,
        ):
            for number in range(runs):
                somebody, begun = Person(), time.monotonic()
                adopt(page, somebody, _address(number), port, folder / f"hv-{number + 1:02}")
                in_all.add(time.monotonic() - begun)
                person.add(somebody.spent)
    in_all.show(Target(MOST_PERSON))
    person.show()


def adopt(page: Page, person: Person, address: str, port: int, host: Path) -> None:
    """What the person does, from the page of all hosts on."""
    page.goto("/hosts/")
    person.clicks(page.get_by_role("link", name="Add by address"))
    person.types(page.get_by_label("IP address"), address)
    person.types(page.get_by_label("Port"), str(port))
    person.clicks(page.get_by_role("button", name="Add host"))
    expect(page.get_by_text("has not proved that it is yours")).to_be_visible()
    code = person.runs("virshmanagerd code", _code_program(host)).splitlines()[0]
    person.clicks(page.get_by_role("link", name="Adopt"))
    person.types(page.get_by_role("dialog").get_by_label("Code"), code, key=CODE_KEY)
    person.clicks(page.get_by_role("dialog").get_by_role("button", name="Adopt"))
    expect(page.get_by_text("is yours now")).to_be_visible(timeout=30_000)


def _code_program(host: Path) -> list[str]:
    return [PYTHON, "-m", "virshmanagerd", "code", "--state-dir", str(host / "state")]


def _address(number: int) -> str:
    network, _, last = FIRST.rpartition(".")
    return f"{network}.{int(last) + number}"


@contextmanager
def browsing(port: int) -> Iterator[Page]:
    """A browser, signed in."""
    with (
        sync_playwright() as play,
        play.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
        chromium.new_context(base_url=f"http://127.0.0.1:{port}") as context,
    ):
        page = context.new_page()
        page.goto("/account/login/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        yield page


def by_join_key(hosts: int, runs: int) -> None:
    owned = Figure("from the daemons' start until all are owned and listed", "s", 1)
    for _ in range(runs):
        with server() as ours:
            port, folder = free_port(), ours.home / "hosts"
            ours.make_range(
                NETWORK, max_rate=None, port=port, schedule=dict.fromkeys(("new", "recheck"), LOOK_EVERY)
            )
            key = ours.join_file(NETWORK, uses=hosts)
            with whole(ours):
                begun = time.monotonic()
                with fleet.on_loopback(NETWORK, hosts, folder, port=port, join_file=key):
                    wait_until(lambda: ours.number(OWNED) == hosts, "all are owned and listed", GIVEN_UP)
                    owned.add(time.monotonic() - begun)
    owned.show(Target(MOST_HOSTS))


if __name__ == "__main__":
    main()
