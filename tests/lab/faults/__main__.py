"""script/faults: everything that is tried, on a lab of its own, with a table of what came of it."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback

from tests.lab.laboratory import BLOCK, Lab
from tests.lab.server import Server
from tests.networks.requirements import missing

from .scenarios import Scenario, all_scenarios
from .site import Site


def main() -> int:
    arguments = _parser().parse_args()
    names = arguments.names or [""]
    chosen = [one for one in all_scenarios() if any(name in one.name for name in names)]
    if arguments.list:
        for scenario in chosen:
            _say(scenario.name)
        return 0
    if reason := missing("lab"):
        sys.stderr.write(f"script/faults: {reason}\n")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Lab() as lab, Server(lab.server) as server:
        lab.start_daemons()
        server.serve()
        server.add_range(BLOCK)
        lab.invite(server.join_key())
        server.crawl_command(BLOCK)
        with Site(lab, server) as site:
            failed = _try(chosen, site)
            _say("\nWhile something was broken, at most:")
            _say(f"{site.slowest_other:.2f} s for an operation, {site.slowest_page:.2f} s for a page")
    _say(f"{len(chosen) - len(failed)} of {len(chosen)} passed.")
    for name in failed:
        _say(f"failed: {name}")
    return 1 if failed else 0


def _try(chosen: list[Scenario], site: Site) -> list[str]:
    """Try all, and print a line about each; return the names of those that failed."""
    failed = []
    _say(f"{'what was tried':48} {'seconds':>7}  verdict")
    for scenario in chosen:
        begun, why = time.monotonic(), ""
        try:
            operation = scenario.play(site)
            problem = operation["problem"]
            told = operation["state"] + (f" ({problem['type']})" if problem else "")
            site.heal()
        except Exception:  # noqa: BLE001 -- the table goes on, and says so
            failed.append(scenario.name)
            told, why = "FAILED", traceback.format_exc()
        _say(f"{scenario.name:48} {time.monotonic() - begun:7.1f}  {told}")
        if why:
            _say(f"{why}\nThe server said:\n{site.repair()}")
    return failed


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="script/faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="only scenarios with one of these in their name")
    parser.add_argument("--list", action="store_true", help="print the names only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
