"""`python -m benchmarks.tools.listener NAME [start]`: on a hypervisor, beside the daemon, by libvirt alone.

Prints a line of JSON for each lifecycle event of the domain: what happened, and when by the machine's clock.
With `start` it starts the domain once for each line that it reads, and prints the seconds that libvirt took.
"""

import json
import sys
import threading
import time

import libvirt

URI = "qemu:///system"
WORDS = {libvirt.VIR_DOMAIN_EVENT_STARTED: "started", libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped"}


def main() -> None:
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run, daemon=True).start()
    connection = libvirt.open(URI)
    domain = connection.lookupByName(sys.argv[1])
    if sys.argv[2:] == ["start"]:
        _start_when_told(domain)
        return
    connection.domainEventRegisterAny(domain, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, _tell, None)
    _say(event="listening")
    sys.stdin.read()  # until the other end is closed


def _run() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _tell(_connection: object, _domain: object, event: int, _detail: int, _opaque: None) -> None:
    at = time.time()
    if event in WORDS:
        _say(event=WORDS[event], at=at)


def _start_when_told(domain: libvirt.virDomain) -> None:
    _say(event="listening")
    for _line in sys.stdin:
        begun = time.perf_counter()
        domain.create()
        _say(event="started", seconds=time.perf_counter() - begun)


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
