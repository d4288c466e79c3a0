"""From libvirt's event on a hypervisor to the changed row in an open browser."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, ViewportSize, sync_playwright

from tests.browser.site import CHROMIUM, FLAGS
from tests.lab.server import PASSWORD, PORT

from .tools.report import Figure, Target, begin, say, section
from .tools.site import Beside, Site, site

SIZES = (10, 500)
TIMES = 50
MOST_MEDIAN, MOST_P95 = 60.0, 150.0
# Cockpit Machines on the hypervisor itself, measured on a machine of this size, in ms.
COCKPIT = {(10, "started"): 11, (10, "stopped"): 249, (500, "started"): 84, (500, "stopped"): 344}
SHOWN = {"started": "running", "stopped": "shutoff"}
ROW_SECONDS = 20
WINDOW: ViewportSize = {"width": 1280, "height": 800}
# Notes when the state that the row shows has become another one, by the clock of the machine.
WATCH = """
([row, states]) => {
  window.seen = [];
  const shown = () => document.querySelector(`${row} [data-state]`)?.dataset.state;
  let last = shown();
  new MutationObserver(() => {
    const state = shown();
    if (state === last || !states.includes(state)) return;
    last = state;
    window.seen.push([state, (performance.timeOrigin + performance.now()) / 1000]);
  }).observe(document.getElementById("content"), { subtree: true, childList: true, attributes: true });
}
"""


def main() -> None:
    runs = begin("live_row", "from libvirt's event to the changed row in an open browser", runs=TIMES)
    for domains in SIZES:
        section(f"{domains} domains on the hypervisor")
        measure(domains, runs)


def measure(domains: int, runs: int) -> None:
    waits = {event: Figure(f"{event}, median", "ms", 0) for event in SHOWN}
    with site(domains) as ours, browsing(ours) as page, ours.beside() as beside:
        for _ in range(runs):
            for verb, event in (("start", "started"), ("destroy", "stopped")):
                ours.hypervisor.virsh(verb, str(ours.domain["name"]))
                waits[event].add(1000 * wait_for_row(page, beside, event))
    for event, figure in waits.items():
        figure.show(Target(MOST_MEDIAN))
        figure.percentile(95).show(Target(MOST_P95))
        say(f"  reference: Cockpit Machines, on the hypervisor itself: {COCKPIT[domains, event]} ms")


def wait_for_row(page: Page, beside: Beside, event: str) -> float:
    """Seconds from the event to the row."""
    at = float(beside.heard(event)["at"])
    page.wait_for_function(
        "state => window.seen.at(-1)?.[0] === state", arg=SHOWN[event], timeout=1000 * ROW_SECONDS
    )
    seen = float(page.evaluate("window.seen.at(-1)[1]"))
    page.evaluate("window.seen.length = 0")
    time.sleep(0.3)  # a person's pause: what follows the change, such as the page's other parts, has settled
    return seen - at


@contextmanager
def browsing(ours: Site) -> Iterator[Page]:
    """A browser beside the server, signed in, with the table of all domains open."""
    with (
        ours.server.namespace.entered(),
        sync_playwright() as play,
        play.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
        chromium.new_context(base_url=f"http://127.0.0.1:{PORT}", viewport=WINDOW) as context,
    ):
        page = context.new_page()
        page.goto("/account/login/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.goto("/domains/")
        page.wait_for_selector("#live-badge[data-live-state=live]")
        page.evaluate(WATCH, [f"#domain-{ours.domain['id']}", list(SHOWN.values())])
        yield page


if __name__ == "__main__":
    main()
