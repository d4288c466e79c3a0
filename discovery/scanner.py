"""The only gate to nmap. Targets are rendered from `ipaddress`, ports are integers, arguments are constants.

nmap reads its targets from standard input and writes XML into memory (memfd_create(2)), so nothing that a
person typed is ever part of a command line, and nothing touches the disk. python-nmap reads the XML. Its
`PortScanner.scan` is not used: it splits its target text as a shell does ("10.0.0.1 --script=x" becomes an
option), and hides the process, so that a scan could not be cancelled.
"""

import ipaddress
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import nmap

from hosts.choices import MAX_PORT

from .choices import MAX_RATE
from .errors import CrawlEnded, ScanFailed

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# setpriv(1): nmap dies with the thread that started it, also when that is killed.
COMMAND: Final = ("setpriv", "--pdeathsig", "KILL", "--", "nmap")
# nmap(1). -n: no DNS. -v: it tells how many packets it sent. One retry: an address that loses both packets
# is seen by the next crawl, and one missed answer removes nothing.
COMMON: Final = ("-n", "-v", "-T5", "--max-retries", "1", "--min-hostgroup", "4096", "-iL", "-")
# By frames where the link is Ethernet: with raw IP the kernel asks ARP once more for each host, and the 1,024
# neighbours that it remembers (gc_thresh3) are not enough for a dense segment: it drops the rest unsent.
PRIVILEGED: Final = ("--privileged", "-sS", "--send-eth", "-PE")
# Without raw sockets presence is asked by connecting: to our port, and to the two that nmap itself takes.
UNPRIVILEGED: Final = ("--unprivileged", "-sT")
UNPRIVILEGED_KNOCKS: Final = (80, 443)
UNCAPPED_MIN_RATE: Final = 20_000
PACKETS_PER_ADDRESS: Final = 10
SLACK_SECONDS: Final = 120
LOOK_SECONDS: Final = 0.1
STOP_SECONDS: Final = 3
LONGEST_DETAIL: Final = 300

DOWN_HOST = re.compile(rb'<host><status state="down".*?</host>\s*', re.DOTALL)
RAW_PACKETS = re.compile(rb"Raw packets sent: (\d+)")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Sweep:
    """What answered, by address as an integer.

    `open`: our port is open. `closed`: the host refused it. `filtered`: the host is up, the port is silent.
    `packets_sent` counts raw packets; connect scans, whose packets the kernel sends, count none.
    """

    open: frozenset[int]
    closed: frozenset[int]
    filtered: frozenset[int]
    packets_sent: int


NOTHING: Final = Sweep(frozenset(), frozenset(), frozenset(), 0)


@dataclass(frozen=True)
class Output:
    """What nmap wrote; None when it had nothing to do.

    Reading it takes time, so it may be done elsewhere, while the next nmap runs.
    """

    xml: bytes | None
    packets_sent: int
    port: int

    def read(self) -> Sweep:
        """Raises ScanFailed when it cannot be understood."""
        return NOTHING if self.xml is None else _sweep(_read(self.xml), self.port, self.packets_sent)


def run(
    networks: Iterable[Network],
    *,
    port: int,
    max_rate: int | None,
    stopped: Callable[[], bool] = lambda: False,
    began: Callable[[], object] = lambda: None,
) -> Output:
    """Run nmap on `networks` (of one family): which hosts are up, and is `port` open on them?

    At most `max_rate` packets a second; None: no limit. `stopped` is asked several times a second; `began` is
    called once, when nmap runs.
    Raises ScanFailed, or CrawlEnded when `stopped` said so; nmap does not run any more then.
    """
    targets = _checked(networks)
    if not targets:
        return Output(None, 0, port)
    xml, text = _run(
        [*COMMAND, *arguments(targets[0].version, port=port, max_rate=max_rate)],
        "".join(f"{network}\n" for network in targets).encode(),
        deadline_seconds(sum(network.num_addresses for network in targets), max_rate),
        stopped,
        began,
    )
    sent = RAW_PACKETS.search(text)
    return Output(xml, int(sent[1]) if sent else 0, port)


def arguments(version: int, *, port: int, max_rate: int | None) -> list[str]:
    """Return nmap's arguments for a scan; the targets come by its standard input."""
    number = _whole(port, 1, MAX_PORT)
    rates = ["--min-rate", str(UNCAPPED_MIN_RATE)]
    if max_rate is not None:
        # By nmap's own congestion control a silent network takes minutes: the rate is kept, not only capped.
        cap = _whole(max_rate, 1, MAX_RATE)
        rates = ["--max-rate", str(cap), "--min-rate", str(min(cap, UNCAPPED_MIN_RATE))]
    family = ["-6"] if version == 6 else []  # noqa: PLR2004 -- the IP version
    raw = raw_sockets()
    knocks = ",".join(map(str, [number] if raw else sorted({number, *UNPRIVILEGED_KNOCKS})))
    return [*COMMON, *(PRIVILEGED if raw else UNPRIVILEGED), f"-PS{knocks}", f"-p{number}", *rates, *family]


def raw_sockets() -> bool:
    """May this process send raw packets? Root may, but not in every container."""
    if os.geteuid() != 0:
        return False
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()
    except OSError:
        return False
    return True


def deadline_seconds(addresses: int, max_rate: int | None) -> float:
    """How long nmap may take: several times what its packets need at the rate that it may send."""
    rate = min(max_rate or UNCAPPED_MIN_RATE, UNCAPPED_MIN_RATE)
    return SLACK_SECONDS + addresses * PACKETS_PER_ADDRESS / rate


def _whole(number: object, low: int, high: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise ValueError(f"not a whole number from {low} to {high}: {number!r}")
    return number


def _checked(networks: Iterable[Network]) -> list[Network]:
    targets = list(networks)
    for network in targets:
        if not isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network):
            raise TypeError(f"not a network: {network!r}")
    if len({network.version for network in targets}) > 1:
        raise ValueError("the networks of a scan are of one family")
    return targets


def _reader() -> Any:
    """python-nmap's reader. It looks for nmap, and asks for its version, whenever one is made."""
    try:
        return nmap.PortScanner(nmap_search_path=("nmap",))
    except (nmap.PortScannerError, OSError, UnicodeDecodeError) as error:
        raise ScanFailed("nmap_missing") from error


def _run(
    command: Sequence[str],
    targets: bytes,
    seconds: float,
    stopped: Callable[[], bool],
    began: Callable[[], object],
) -> tuple[bytes, bytes]:
    """Run nmap to its end. Returns its XML and its text; a pipe that nobody empties would hold it up."""
    if shutil.which("nmap") is None:
        raise ScanFailed("nmap_missing")
    with (
        os.fdopen(os.memfd_create("targets"), "w+b") as given,
        os.fdopen(os.memfd_create("xml"), "rb") as xml,
        os.fdopen(os.memfd_create("text"), "rb") as text,
    ):
        given.write(targets)
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 -- no part of it was typed by anybody
                [*command, "-oX", f"/proc/self/fd/{xml.fileno()}"],
                stdin=given,
                stdout=text,
                stderr=subprocess.PIPE,
                pass_fds=[xml.fileno()],
                # Ctrl-C in a terminal is for us: nmap ends when we say so.
                start_new_session=True,
            )
        except OSError as error:
            raise ScanFailed("no_resources", error.strerror or "") from error
        with process:
            errors = _finish(process, time.monotonic() + seconds, stopped, began)
        if process.returncode < 0:
            raise ScanFailed("nmap_killed", signal.Signals(-process.returncode).name)
        if process.returncode > 0:
            raise ScanFailed("nmap_failed", _clean(errors))
        text.seek(0)
        return xml.read(), text.read()


def _finish(
    process: subprocess.Popen[bytes],
    deadline: float,
    stopped: Callable[[], bool],
    began: Callable[[], object],
) -> bytes:
    """Wait for the end of nmap; whatever ends the wait ends nmap. Returns what it complained of."""
    try:
        began()
        while True:
            try:
                return process.communicate(timeout=LOOK_SECONDS)[1]
            except subprocess.TimeoutExpired:
                if stopped():
                    raise CrawlEnded from None
                if time.monotonic() > deadline:
                    raise ScanFailed("nmap_timeout") from None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _read(xml: bytes) -> dict[str, Any]:
    # With -v the XML names every silent address: left out here, a sparse network costs no memory.
    answered = DOWN_HOST.sub(b"", xml)
    try:
        result: dict[str, Any] = _reader().analyse_nmap_xml_scan(answered)
    except (nmap.PortScannerError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ScanFailed("nmap_garbage") from error
    return result


def _sweep(result: dict[str, Any], port: int, packets_sent: int) -> Sweep:
    by_state: dict[str, set[int]] = {"open": set(), "closed": set(), "filtered": set()}
    try:
        for ip, host in result["scan"].items():
            if host["status"]["state"] == "up":
                state = host.get("tcp", {}).get(port, {}).get("state", "filtered")
                by_state.get(state, by_state["filtered"]).add(int(ipaddress.ip_address(ip)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ScanFailed("nmap_garbage") from error
    return Sweep(
        frozenset(by_state["open"]),
        frozenset(by_state["closed"]),
        frozenset(by_state["filtered"]),
        packets_sent,
    )


def _clean(errors: bytes) -> str:
    """What nmap said last, without its farewell and control characters."""
    lines = [CONTROL.sub(" ", line) for line in errors.decode(errors="replace").splitlines()]
    return next((line[:LONGEST_DETAIL] for line in reversed(lines) if line and line != "QUITTING!"), "")
