"""script/lab: several real hypervisors on this machine, for a person.

Needs root. All of it lives in network namespaces and ends with `up`: Ctrl-C there, or `down` elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.networks.requirements import missing
from tests.networks.sweep import owner_is_alive, scratch_root

from .gateway import open_gateway
from .hypervisor import JOIN_FILE
from .laboratory import BLOCK, OTHERS, SERVER, Lab, labs_that_are_up
from .machine import enter, wait_for

Record = dict[str, Any]
_PORT = 8000  # the default of VIRSHMANAGER_PORT
_HOW_TO = """
In another terminal, a VirshManager in the lab's server namespace:
  script/lab run -- {server}

In a third one, a key for the hypervisors, and the crawl that finds and owns them:
  script/lab run -- .venv/bin/python manage.py join_key create --cidr {block} >var/join.json
  script/lab join var/join.json
  script/lab run -- .venv/bin/python manage.py crawl {block}

A shell on a hypervisor, for virsh list and the like:
  script/lab shell hv1
"""


def main() -> int:
    arguments = _parser().parse_args()
    reason = missing("lab")
    if reason:
        return _fail(reason)
    try:
        return int(arguments.action(arguments))
    except LookupError as error:
        return _fail(str(error))


def up(arguments: argparse.Namespace) -> int:
    """Bring a lab up, wait for Ctrl-C or `down`, tear it down."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        started = time.monotonic()
        with Lab(by_hand=True) as lab:
            if arguments.daemons:
                lab.start_daemons()
            _say(f"The lab is up after {time.monotonic() - started:.1f} s.")
            _show(_current(lab.folder.name))
            _say(_how_to(arguments.publish))
            _say(f"http://127.0.0.1:{arguments.publish}/ of this machine leads to that server.")
            _say("Ctrl-C ends the lab.")
            asyncio.run(_stay_open(lab, arguments.publish))
    except KeyboardInterrupt:
        _say("The lab is down.")
    return 0


def _how_to(port: int) -> str:
    # Links that the server prints are good here only if it has the published port.
    server = "script/server" if port == _PORT else f"env VIRSHMANAGER_PORT={port} script/server"
    return _HOW_TO.format(server=server, block=BLOCK)


async def _stay_open(lab: Lab, port: int) -> None:
    async with await open_gateway(lab.server, port) as gateway:
        await gateway.serve_forever()


def down(arguments: argparse.Namespace) -> int:
    """End every lab of `up`, or the one named by --lab."""
    records = labs_that_are_up(arguments.lab)
    for record in records:
        os.kill(record["owner"], signal.SIGTERM)
    owners = [record["name"] for record in records]
    wait_for(lambda: not any(map(owner_is_alive, owners)), "every lab is down", deadline=30)
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show the labs that are up. Exit status 1 when there is none."""
    records = labs_that_are_up(arguments.lab)
    for record in records:
        _show(record)
    if not records:
        _say("No lab is up.")
    return 0 if records else 1


def shell(arguments: argparse.Namespace) -> int:
    """Open a shell on a hypervisor, or in the server namespace."""
    record = _current(arguments.lab)
    if arguments.host == "server":
        return subprocess.call(_in_server(record["server"], "bash"))
    machine = record["machines"].get(arguments.host)
    if machine is None:
        raise LookupError(
            f"no such host: {arguments.host} (there are server, {', '.join(record['machines'])})"
        )
    return subprocess.call(enter(machine["pid"], "bash"))


def run(arguments: argparse.Namespace) -> int:
    """Run a command in the server namespace: of the lab that is up, else of one brought up for it."""
    if arguments.lab or labs_that_are_up():
        return _call_quietly(_in_server(_current(arguments.lab)["server"], *arguments.command))
    with Lab() as lab:
        lab.start_daemons()
        return _call_quietly(lab.server.command(*arguments.command))


def join(arguments: argparse.Namespace) -> int:
    """Put a join key on every hypervisor."""
    content = Path(arguments.file).read_bytes()
    record = _current(arguments.lab)
    for name in record["machines"]:
        target = scratch_root() / record["name"] / name / JOIN_FILE
        target.parent.mkdir(exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(content)
    return 0


def _call_quietly(command: list[str]) -> int:
    # Ctrl-C reaches the command as well; it decides how to end, and we wait for it.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.call(command)
    finally:
        signal.signal(signal.SIGINT, before)


def _in_server(namespace: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *command]


def _current(name: str | None) -> Record:
    records = labs_that_are_up(name)
    if not records:
        raise LookupError("no lab is up: start one with script/lab up")
    return records[-1]


def _show(record: Record) -> None:
    _say(f"lab     {record['name']}")
    _say(f"server  {SERVER:<13} namespace {record['server']}")
    for name, machine in record["machines"].items():
        _say(f"{name:<7} {machine['address']:<13} libvirtd, virshmanagerd on port 16510")
    _say(f"others  {', '.join(OTHERS)} (up, no port open); the rest of {BLOCK} is silent")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _fail(reason: str) -> int:
    sys.stderr.write(f"script/lab: {reason}\n")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="script/lab", description=__doc__)
    parser.add_argument(
        "--lab", metavar="NAME", help="which lab, if several are up (default: the last of `up`)"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for action in (up, down, status, shell, run, join):
        about = (action.__doc__ or "").strip()
        actions.add_parser(action.__name__, help=about, description=about).set_defaults(action=action)
    choices = actions.choices
    choices["up"].add_argument(
        "--publish", type=int, default=_PORT, metavar="PORT", help=f"of 127.0.0.1 ({_PORT})"
    )
    choices["up"].add_argument(
        "--no-daemons", dest="daemons", action="store_false", help="without virshmanagerd"
    )
    choices["shell"].add_argument("host", metavar="HOST")
    choices["run"].add_argument("command", nargs="+", metavar="COMMAND")
    choices["join"].add_argument("file", metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
