"""Facts about this machine that need no libvirt: from Linux's /proc (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

from virshmanagerd.text import clean

PROC = Path("/proc")
LIMIT = 1024 * 1024
BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal: not idle, iowait, nor what is in user


def cpus() -> int | None:
    """Logical CPUs."""
    return os.cpu_count()


def cpu_model() -> str | None:
    """The processor's name, for example `AMD EPYC 7543 32-Core Processor`."""
    for line in _read("cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return clean(value.strip(), 128) or None
    return None


def memory() -> tuple[int | None, int | None]:
    """Memory in bytes: all of it, and what guests could be given (free, buffers, cache)."""
    sizes = {}
    for line in _read("meminfo").splitlines():
        name, _, value = line.partition(":")
        number = value.split()
        if number and number[0].isdecimal():
            sizes[name] = int(number[0]) * 1024
    total = sizes.get("MemTotal")
    free = sum(sizes.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    return total, None if total is None else free


def cpu_time_ns() -> int | None:
    """Time that all CPUs together have worked since the boot, guests included."""
    name, *ticks = _read("stat").partition("\n")[0].split() or [""]
    if name != "cpu" or not all(tick.isdecimal() for tick in ticks):
        return None
    busy = sum(int(ticks[index]) for index in BUSY if index < len(ticks))
    return busy * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def boot_id() -> str | None:
    """A UUID that is new at each boot."""
    return clean(_read("sys/kernel/random/boot_id").strip(), 64) or None


def load() -> list[float] | None:
    """The load averages of 1, 5 and 15 minutes."""
    try:
        return list(os.getloadavg())
    except OSError:
        return None


def _read(name: str) -> str:
    try:
        with (PROC / name).open(encoding="utf-8", errors="replace") as file:
            return file.read(LIMIT)
    except OSError:
        return ""
