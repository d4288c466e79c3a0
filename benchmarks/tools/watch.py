"""Run a program and watch it from outside: seconds, processor time, memory of it and of its children."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
EVERY_SECONDS = 0.05
KIBIBYTE = 1024
MEBIBYTE = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


class ProgramFailed(Exception):
    """A program that is measured has failed; the text holds what it said."""


@dataclass
class Run:
    """What one program did. Sizes are bytes, times are seconds.

    `processor` is the time that it and its children computed, on all cores together.
    `own_peak` is the peak resident memory of the program itself, as the kernel counts it; `children_peak`
    that of its children, taken together, and `together_peak` of all at once: both are sampled, and count
    shared pages once for each process. `after_nmap` is the time from the end of the last nmap to the end.
    """

    seconds: float
    processor: float
    output: str
    own_peak: int
    children_peak: int
    together_peak: int
    after_nmap: float | None


@dataclass
class _Watcher:
    """Samples a process and all below it until `stop`."""

    pid: int
    own_peak: int = 0
    children_peak: int = 0
    together_peak: int = 0
    nmap_seen: float | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            self._sample()
            self._over.wait(EVERY_SECONDS)

    def _sample(self) -> None:
        status = memory(self.pid)
        children = [memory(pid) for pid in descendants(self.pid)]
        own, below = status.get("VmRSS", 0), sum(child.get("VmRSS", 0) for child in children)
        self.own_peak = max(self.own_peak, status.get("VmHWM", 0))
        self.children_peak = max(self.children_peak, below)
        self.together_peak = max(self.together_peak, own + below)
        if any(child.get("nmap") for child in children):
            self.nmap_seen = time.monotonic()


def run(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, given: str = ""
) -> Run:
    """Run a program to its end. Raises ProgramFailed when its exit status is not 0."""
    arguments = [str(part) for part in command]
    before, begun = _used(), time.monotonic()
    process = subprocess.Popen(
        arguments,
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        watcher = _Watcher(process.pid)
        output, errors = process.communicate(given)
        ended = time.monotonic()
        watcher.stop()
    if process.returncode != 0:
        raise ProgramFailed(
            f"{' '.join(arguments)}: {process.returncode}\n{output[-2000:]}\n{errors[-4000:]}"
        )
    return Run(
        seconds=ended - begun,
        processor=_used() - before,
        output=output,
        own_peak=watcher.own_peak,
        children_peak=watcher.children_peak,
        together_peak=watcher.together_peak,
        after_nmap=ended - watcher.nmap_seen if watcher.nmap_seen else None,
    )


def _used() -> float:
    """The processor time of all children of ours that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory(pid: int) -> dict[str, int]:
    """Return sizes of a process in bytes by the kernel's names (proc(5), status).

    `nmap` is 1 for nmap itself. Empty when it has ended.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    sizes = {"nmap": int(lines[0].split()[1] == "nmap")}
    for line in lines:
        name, _, value = line.partition(":")
        if name in {"VmRSS", "VmHWM"}:
            sizes[name] = int(value.split()[0]) * KIBIBYTE
    return sizes


def shared_out_memory(pid: int) -> int:
    """Return the proportional set size of a process, in bytes: shared pages are divided among their users."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * KIBIBYTE for line in lines if line.startswith("Pss:"))


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used (proc(5), stat, 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def descendants(pid: int) -> list[int]:
    """Return the processes below a process. Those of all its threads count."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found
