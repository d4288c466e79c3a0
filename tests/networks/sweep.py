"""Remove what dead test runs left on this machine: network namespaces and folders.

Everything our helpers make carries its owner in its name, `vm<pid>-<start time>-...`: the pid alone would one
day be that of another process, pid and start time together never are. This file stands alone (standard
library, no imports of ours), because it also runs as the janitor: a process of its own that waits until its
standard input ends, which happens when the owner is gone in whatever way, and then sweeps.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

NETNS_FOLDER = Path("/run/netns")
_OWNED = re.compile(r"vm(?P<pid>\d+)-(?P<start>[0-9a-f]+)-")


def owner_token(pid: int | None = None) -> str:
    """The prefix of all names that process `pid` (default: this one) gives."""
    pid = os.getpid() if pid is None else pid
    return f"vm{pid}-{_start_time(pid):x}-"


def scratch_root() -> Path:
    """Where folders that carry an owner's token are made. Short, since Unix socket paths end at 107 bytes."""
    return Path(tempfile.gettempdir())


def sweep(ended: str | None = None) -> None:
    """Remove namespaces, the processes in them, and folders whose owner is dead or has the token `ended`."""
    for name in _entries(NETNS_FOLDER):
        if _is_orphan(name, ended):
            remove_namespace(name)
    for name in _entries(scratch_root()):
        if _is_orphan(name, ended):
            shutil.rmtree(scratch_root() / name, ignore_errors=True)


def remove_namespace(name: str) -> None:
    """Kill what still runs in the namespace `name`, then delete it. No error when it is gone already."""
    for pid in _run("ip", "netns", "pids", name).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            continue
    _run("ip", "netns", "del", name)


def owner_is_alive(name: str) -> bool:
    """Whether the process that gave this name still runs. True also for a name that none of ours gave."""
    owned = _OWNED.match(name)
    if owned is None:
        return True
    try:
        return _start_time(int(owned["pid"])) == int(owned["start"], 16)
    except ProcessLookupError:
        return False


def _is_orphan(name: str, ended: str | None) -> bool:
    return not owner_is_alive(name) or (ended is not None and name.startswith(ended))


def _start_time(pid: int) -> int:
    """Start of process `pid`, clock ticks since boot (proc(5), stat, 22). ProcessLookupError when gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    # The second field is the command in parentheses and may hold spaces; what follows the last is regular.
    state, *fields = stat.rpartition(")")[2].split()
    if state in {"Z", "X"}:  # it has ended, and only its parent has not noticed
        raise ProcessLookupError(pid)
    return int(fields[18])


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _run(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False).stdout


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    # Told by name: a process that ends closes its files a moment before it looks dead.
    sweep(ended=sys.argv[1])
