"""`python -m simulator`: play a network on the loopback until SIGINT or SIGTERM."""

import argparse
import ipaddress
import logging
import signal
import sys
from itertools import islice
from pathlib import Path

from .hosts import ListenError, Plan
from .processes import Fleet, PartLost

DEMO_NETWORK = ipaddress.IPv4Network("127.0.77.0/28")


def main() -> int:
    """Return 0 when told to stop, 1 when a host cannot be played. Wrong arguments exit with 2."""
    logging.basicConfig(level=logging.WARNING, format="simulator: %(message)s")
    options = _options()
    plan = _plan(options)
    fleet = Fleet(plan)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: fleet.stop())
    signal.signal(signal.SIGUSR1, lambda *_: fleet.switch())
    words = f"simulator: {len(plan.hypervisors)} hypervisors on {options.network} port {plan.port}"
    try:
        fleet.play(lambda: print(words, flush=True))  # noqa: T201 -- what the caller waits for
    except ListenError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    except PartLost:
        return 1
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    addresses = map(str, options.network.hosts())
    return Plan(
        hypervisors=tuple(islice(addresses, options.hosts)),
        foreign=tuple(islice(addresses, options.foreign)),
        port=options.port,
        domains=options.domains,
        state_dir=options.state_dir.absolute(),
        join_file=options.join_file,
        hung=options.hung,
        refusing=options.refusing,
        events=options.events,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--network", type=ipaddress.IPv4Network, default=DEMO_NETWORK)
    parser.add_argument("--port", type=int, default=16510)
    parser.add_argument("--hosts", type=int, default=6)
    parser.add_argument("--domains", type=_span, default=(10, 40), metavar="LEAST-MOST")
    parser.add_argument("--foreign", type=int, default=1)
    parser.add_argument("--hung", type=int, default=0, help="so many of the hosts accept and never answer")
    parser.add_argument("--refusing", type=int, default=0, help="and so many are down")
    parser.add_argument(
        "--events", type=float, default=0, help="domains that change in a second, after SIGUSR1"
    )
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--join-file", type=Path)
    options = parser.parse_args()
    if not options.network.is_loopback:
        parser.error("the network must lie in 127.0.0.0/8")
    if options.hosts < 1 or min(options.foreign, options.hung, options.refusing, options.events) < 0:
        parser.error("there must be at least one hypervisor, and no negative number of others")
    if options.hung + options.refusing >= options.hosts:
        parser.error("at least one of the hosts must answer")
    if options.hosts + options.foreign > options.network.num_addresses - 2:
        parser.error(f"{options.network} is too small for all that are asked for")
    if options.join_file and not options.join_file.is_file():
        parser.error(f"there is no file {options.join_file}")
    return options


def _span(text: str) -> tuple[int, int]:
    """Read "10-40", or "10" for exactly ten."""
    least, _, most = text.partition("-")
    low, high = int(least), int(most or least)
    if not 0 <= low <= high:
        raise argparse.ArgumentTypeError("write the least and the most, as in 10-40")
    return low, high


if __name__ == "__main__":
    sys.exit(main())
