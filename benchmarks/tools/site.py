"""A real hypervisor of the lab and a whole server that owns it, for what is measured end to end."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.hypervisor import Hypervisor
from tests.lab.laboratory import BLOCK, Lab
from tests.lab.machine import wait_for
from tests.lab.server import Server

from .watch import PROJECT

TARGET = "db1"  # shut off when the lab is up
FILLER = "z{number:03}"
END_SECONDS = 10
RUNNING = 2  # what the lab defines by itself: one that runs, and the target


@dataclass(frozen=True)
class Site:
    """One hypervisor, the server, and the domain that is started and stopped."""

    lab: Lab
    hypervisor: Hypervisor
    server: Server
    domain: dict[str, Any]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self.server.ask(method, path, body)

    def state(self) -> str:
        """The state of the domain, from the list: to ask for it alone would have its devices looked at."""
        rows = self.server.everything(f"domains/?search={self.domain['uuid']}")
        return str(rows[0]["state"])

    @contextmanager
    def beside(self, *arguments: str, name: str = TARGET) -> Iterator["Beside"]:
        """Run the listener on the hypervisor; see `listener`."""
        program = ("-m", "benchmarks.tools.listener", name, *arguments)
        command = self.hypervisor.command("env", f"PYTHONPATH={PROJECT}", sys.executable, *program)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                other = Beside(process)
                other.heard("listening")
                yield other
            finally:
                if process.stdin:
                    process.stdin.close()
                process.wait(END_SECONDS)


@dataclass(frozen=True)
class Beside:
    """The program beside the daemon, and what it says."""

    process: "subprocess.Popen[str]"

    def tell(self) -> None:
        """Have it do what it does, once."""
        if self.process.stdin:
            print(file=self.process.stdin, flush=True)

    def heard(self, event: str) -> dict[str, Any]:
        """The next line about `event`. Raises RuntimeError at its end."""
        for line in self.process.stdout or ():
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event:
                return said
        raise RuntimeError("the listener on the hypervisor has ended")


@contextmanager
def site(domains: int) -> Iterator[Site]:
    """A hypervisor with `domains` domains, two of them the lab's own, and a server that watches it."""
    with Lab(1) as lab, Server(lab.server) as server:
        (hypervisor,) = lab.hypervisors
        define(hypervisor, domains - RUNNING)
        lab.start_daemons()
        server.serve()
        server.add_range(BLOCK)
        lab.invite(server.join_key())
        wait_for(lambda: owned(server), "the hypervisor is owned", deadline=60)
        wait_for(
            lambda: server.ask("GET", "domains/?page_size=1")["count"] == domains,
            "all are listed",
            deadline=60,
        )
        (target,) = [row for row in server.everything("domains/") if row["name"] == TARGET]
        wait_for(lambda: watched(server), "the watcher follows the host", deadline=60)
        yield Site(lab, hypervisor, server, target)


def owned(server: Server) -> bool:
    """Crawl; the daemon notices its join key within a second."""
    server.crawl(BLOCK)
    return [host["trust"] for host in server.everything("hosts/")] == ["owned"]


def watched(server: Server) -> bool:
    """Whether the watcher has heard from the host by its stream."""
    with closing(sqlite3.connect(server.home / "db.sqlite3")) as database:
        query = "SELECT count(*) FROM hosts_host WHERE watched_at IS NOT NULL"
        return bool(database.execute(query).fetchone()[0])


def define(hypervisor: Hypervisor, number: int) -> None:
    """Define so many more domains, all shut off, in one shell: a process for each would take minutes."""
    xml = hypervisor.virsh("dumpxml", "--inactive", TARGET)
    lines = [line for line in xml.splitlines() if "<uuid>" not in line and "<mac " not in line]
    for each in range(number):
        name = FILLER.format(number=each)
        hypervisor.write(f"run/lab/fill/{name}.xml", "\n".join(lines).replace(f">{TARGET}<", f">{name}<"))
    commands = "\n".join(f"define /run/lab/fill/{FILLER.format(number=each)}.xml" for each in range(number))
    if number:
        hypervisor.run("virsh", "--quiet", "--connect", "qemu:///system", input=commands, timeout=300)
