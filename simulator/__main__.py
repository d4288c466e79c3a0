"""`python -m simulator`: play a network until SIGINT or SIGTERM."""

import argparse
import ipaddress
import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from virshmanagerd.engine import Engine

from .foreign import greet
from .hosts import Plan, listen, serve

HOSTS_PER_PROCESS = 250
DEMO_NETWORK = ipaddress.IPv4Network("127.0.77.0/28")


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="simulator: %(message)s")
    plan = _plan()
    every = range(plan.hosts)
    own, *others = [every[at : at + HOSTS_PER_PROCESS] for at in range(0, plan.hosts, HOSTS_PER_PROCESS)]
    # Forked before any thread or libvirt connection exists, they share the memory of the code.
    context = multiprocessing.get_context("fork")
    ready = context.Semaphore(0)
    processes = [context.Process(target=_play, args=(plan, part, ready.release)) for part in others]
    for process in processes:
        process.start()

    def announce() -> None:
        for _ in processes:
            ready.acquire()
        for index in range(plan.hosts, plan.hosts + plan.foreign):
            greet(listen(plan.address(index), plan.port))
        print(f"simulator: {plan.hosts} hypervisors on {plan.network} port {plan.port}", flush=True)  # noqa: T201

    _play(plan, own, announce)
    for process in processes:
        process.terminate()
        process.join()
    return 0


def _play(plan: Plan, indexes: range, when_ready: Callable[[], object]) -> None:
    engine = Engine()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: engine.stop())
    daemons = serve(plan, indexes, engine)
    when_ready()
    engine.run()
    for daemon in daemons:
        daemon.driver.stop()


def _plan() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--network", type=ipaddress.IPv4Network, default=DEMO_NETWORK)
    parser.add_argument("--port", type=int, default=16510)
    parser.add_argument("--hosts", type=int, default=6)
    parser.add_argument("--domains", type=_span, default=(10, 40), metavar="LEAST-MOST")
    parser.add_argument("--foreign", type=int, default=1)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--join-file", type=Path)
    options = parser.parse_args()
    if not options.network.is_loopback:
        parser.error("the network must lie in 127.0.0.0/8")
    if not 0 < options.hosts + options.foreign < options.network.num_addresses - 1 or not options.hosts:
        parser.error("the network must hold at least one host, and all that are asked for")
    return Plan(**{**vars(options), "state_dir": options.state_dir.absolute()})


def _span(text: str) -> tuple[int, int]:
    least, _, most = text.partition("-")
    return int(least), int(most or least)


if __name__ == "__main__":
    sys.exit(main())
