"""A start by the API that waits for its verdict, against the same call by libvirt on the hypervisor.

Guests are emulated here: one that boots has a processor of the machine for itself from the moment at which
libvirt's call returns, and the verdict must wait for what is left. Beside it one is started that halts at its
first instruction, as if guests had processors of their own.
"""

import http.client
import socket
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

from tests.lab.hypervisor import Guest
from tests.lab.machine import wait_for
from tests.lab.server import PORT
from tests.networks import socket_in

from .tools.report import Figure, Target, begin, section
from .tools.site import Site, site

TIMES = 30
MOST_MORE = 25.0
# What a stop leaves to be done is done by then, so that neither start has to share the machine with it.
CALM_SECONDS = 1.0


def main() -> None:
    runs = begin(
        "start_api", "POST .../start/ with `Prefer: wait`, against libvirt-python on the host", runs=TIMES
    )
    with site(10) as ours, closing(connected(ours)) as connection:
        section("a guest that boots")
        measure(ours, connection, runs)
        section("a guest that halts at once")
        measure(halting(ours), connection, runs)


def measure(ours: Site, connection: http.client.HTTPConnection, runs: int) -> None:
    """Start the domain by turns, and print what it took."""
    alone, by_api = Figure("libvirt-python on the hypervisor", "ms", 1), Figure("by the API", "ms", 1)
    with ours.beside("start", name=str(ours.domain["name"])) as beside:
        for _ in range(runs):
            beside.tell()
            alone.add(1000 * float(beside.heard("started")["seconds"]))
            force_off(ours)
            by_api.add(1000 * start(ours, connection))
            force_off(ours)
    alone.show()
    by_api.show()
    Figure("more, of the medians", "ms", 1, [by_api.median - alone.median]).show(Target(MOST_MORE))


def halting(ours: Site) -> Site:
    """The same with another domain, whose guest halts at once."""
    guest = Guest("halting", running=False, halts=True)
    ours.hypervisor.add_guest(guest)

    def found() -> list[dict[str, Any]]:
        return ours.server.everything(f"domains/?search={guest.uuid}")

    wait_for(found, "the guest that halts is listed")
    return replace(ours, domain=found()[0])


def connected(ours: Site) -> http.client.HTTPConnection:
    """A connection to the server that is kept, as a program's session keeps it."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.sock = socket_in(ours.server.namespace)
    # As http.client does when it connects by itself: else the body waits for the ACK of the headers.
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sock.connect(("127.0.0.1", PORT))
    return connection


def start(ours: Site, connection: http.client.HTTPConnection) -> float:
    """Start the domain; return the seconds until its verdict. Raises RuntimeError for any but `succeeded`."""
    begun = time.perf_counter()
    headers = ours.server.headers | {"Prefer": "wait=20"}
    connection.request("POST", f"/api/domains/{ours.domain['id']}/start/", b"{}", headers)
    answer = connection.getresponse()
    text = answer.read()
    seconds = time.perf_counter() - begun
    if answer.status != http.client.OK or b'"succeeded"' not in text:
        raise RuntimeError(f"{answer.status} {text!r}")
    return seconds


def force_off(ours: Site) -> None:
    ours.hypervisor.virsh("destroy", str(ours.domain["name"]))
    wait_for(lambda: ours.state() == "shutoff", "the server has seen the end")
    time.sleep(CALM_SECONDS)


if __name__ == "__main__":
    main()
