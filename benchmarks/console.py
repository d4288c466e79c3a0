"""What a serial console through server and daemon adds to a key press, 20 at once, and a guest's flood."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.lab.machine import wait_for
from tests.lab.server import PORT

from .tools import watch
from .tools.report import Figure, Target, begin, section
from .tools.site import Site, site
from .tools.whole import command_of

KEYS = 100
CONSOLES = 20
# The server gives up a browser that has not read for 40 s.
FLOOD_SECONDS = 10
MOST_ADDED, MOST_GROWTH = 15.0, 8.0
GUEST = "web1"
ORIGIN = Origin(f"http://127.0.0.1:{PORT}")
ECHO_SECONDS = 10
WEB = "uvicorn virshmanager.asgi"
CLEAR_LINE = b"\x15"


def main() -> None:
    runs = begin(
        "console", f"a key press on a real guest's serial line; {CONSOLES} consoles; a flood", runs=KEYS
    )
    with site(10) as ours:
        (guest,) = [row for row in ours.server.everything("domains/") if row["name"] == GUEST]
        wait_for(lambda: "guest is up" in ours.hypervisor.read(log()), "the guest is up", deadline=60)
        alone = by_libvirt(ours, runs)
        with ours.server.namespace.entered(), console(ours, guest["id"], "ask") as typing:
            through = Figure("through server and daemon", "ms", 1, press(typing, runs))
            with ExitStack() as others:
                for _ in range(CONSOLES - 1):
                    others.enter_context(console(ours, guest["id"], "view"))
                crowded = Figure(
                    f"the same, with {CONSOLES - 1} others looking on", "ms", 1, press(typing, runs)
                )
            section("a key press")
            for figure in (alone, through, crowded):
                figure.show()
            for figure in (through, crowded):
                Figure("added, of the medians", "ms", 1, [figure.median - alone.median]).show(
                    Target(MOST_ADDED)
                )
            section(f"a guest that runs `yes` for {FLOOD_SECONDS} s, and a browser that does not read")
            flood(ours, typing)


def log() -> str:
    return f"var/log/libvirt/qemu/{GUEST}-serial.log"


def by_libvirt(ours: Site, keys: int) -> Figure:
    """The reference: libvirt's own stream, on the hypervisor."""
    figure = Figure("libvirt alone, on the hypervisor", "ms", 1)
    with ours.beside("type", name=GUEST) as beside:
        for _ in range(keys):
            beside.tell()
            figure.add(1000 * float(beside.heard("typed")["seconds"]))
    return figure


@contextmanager
def console(ours: Site, domain: int, mode: str) -> Iterator[ClientConnection]:
    """A console, as a program opens it. To be entered in the server's namespace."""
    ticket = ours.ask("POST", f"domains/{domain}/console/", {"kind": "serial"})["ticket"]
    headers = {"Authorization": ours.server.headers["Authorization"]}
    opening = connect(
        f"ws://127.0.0.1:{PORT}/ws/console/",
        origin=ORIGIN,
        additional_headers=headers,
        proxy=None,
        ping_interval=None,  # one that does not read does not hear the answers to its pings either
        close_timeout=1,
    )
    with opening as opened:
        opened.send(json.dumps({"ticket": ticket, "mode": mode}))
        while True:
            said = opened.recv(ECHO_SECONDS)
            if isinstance(said, str) and json.loads(said)["type"] == "ready":
                break
        yield opened


def press(typing: ClientConnection, keys: int) -> list[float]:
    """Milliseconds from each key to its echo."""
    typing.send(CLEAR_LINE)
    drain(typing)
    waits = []
    for _ in range(keys):
        begun = time.perf_counter()
        typing.send(b"k")
        while isinstance(typing.recv(ECHO_SECONDS), str):
            pass
        waits.append(1000 * (time.perf_counter() - begun))
    return waits


def drain(typing: ClientConnection, quiet: float = 0.5) -> None:
    """Read until nothing has come for a moment."""
    while True:
        try:
            typing.recv(quiet)
        except TimeoutError:
            return


def flood(ours: Site, typing: ClientConnection) -> None:
    """What the web and the daemon grow by, once what lies in the kernel's buffers is full."""
    typing.send(CLEAR_LINE + b"yes\n")
    time.sleep(FLOOD_SECONDS)
    before = sizes(ours)
    time.sleep(FLOOD_SECONDS)
    for name, size in sizes(ours).items():
        growth = (size - before[name]) / watch.MEBIBYTE
        Figure(f"added to the {name} meanwhile", "MB", 1, [growth]).show(Target(MOST_GROWTH))


def sizes(ours: Site) -> dict[str, int]:
    """Resident bytes of the web, and of all processes of the daemon."""
    web = [pid for pid in watch.descendants(ours.server.pid) if WEB in command_of(pid)]
    inside = watch.descendants(ours.hypervisor.pid)
    daemon = [pid for pid in inside if "virshmanagerd" in command_of(pid)]
    return {
        name: sum(watch.memory(pid).get("VmRSS", 0) for pid in pids)
        for name, pids in {"web": web, "daemon": daemon}.items()
    }


if __name__ == "__main__":
    main()
