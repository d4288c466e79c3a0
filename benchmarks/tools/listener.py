"""`python -m benchmarks.tools.listener NAME [start|type]`: on a hypervisor, beside the daemon, by libvirt.

Prints a line of JSON for each lifecycle event of the domain: what happened, and when by the machine's clock.
With `start` it starts the domain once for each line that it reads, and prints the seconds that libvirt took.
With `type` it presses a key on the serial console for each, and prints the seconds until the guest echoes it.
"""

import json
import sys
import threading
import time

import libvirt

URI = "qemu:///system"
ECHO_SECONDS = 10
WORDS = {libvirt.VIR_DOMAIN_EVENT_STARTED: "started", libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped"}


def main() -> None:
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run, daemon=True).start()
    connection = libvirt.open(URI)
    domain = connection.lookupByName(sys.argv[1])
    if sys.argv[2:] == ["start"]:
        _start_when_told(domain)
        return
    if sys.argv[2:] == ["type"]:
        _type_when_told(connection, domain)
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


def _type_when_told(connection: libvirt.virConnect, domain: libvirt.virDomain) -> None:
    stream, echoed = connection.newStream(libvirt.VIR_STREAM_NONBLOCK), threading.Event()

    def read(_stream: object, _events: int, _opaque: None) -> None:
        if stream.recv(4096):
            echoed.set()

    domain.openConsole(None, stream, 0)
    stream.eventAddCallback(libvirt.VIR_STREAM_EVENT_READABLE, read, None)
    _say(event="listening")
    for _line in sys.stdin:
        echoed.clear()
        begun = time.perf_counter()
        stream.send(b"k")
        if not echoed.wait(ECHO_SECONDS):
            raise TimeoutError("the guest does not echo")
        _say(event="typed", seconds=time.perf_counter() - begun)
    stream.eventRemoveCallback()
    stream.finish()


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
