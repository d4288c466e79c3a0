"""A pytest plugin: tests marked `network` or `lab` need root and network namespaces.

Where these are missing the tests are skipped and the reason is printed. In CI (the variable `CI` is set) they
fail instead: a machine that should have run them and could not is a fault to see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

_PROGRAMS = {
    "network": ("ip", "nft", "nmap", "setpriv", "sshd"),
    "lab": (
        "ip",
        "nft",
        "setpriv",
        "nsenter",
        "unshare",
        "libvirtd",
        "virtlogd",
        "virsh",
        "qemu-system-x86_64",
        "busybox",
    ),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in _PROGRAMS:
        if item.get_closest_marker(mark):
            require(mark)


def require(mark: str) -> None:
    """Skip or fail the running test when what `mark` stands for is missing here."""
    reason = missing(mark)
    if reason and os.environ.get("CI"):
        pytest.fail(f"not skipped, since this is CI: {reason}", pytrace=False)
    elif reason:
        pytest.skip(reason)


@cache
def missing(mark: str) -> str | None:
    """Why tests with this mark cannot run here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [program for program in _PROGRAMS[mark] if shutil.which(program, path=_path()) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if mark == "lab" and not Path("/dev/net/tun").exists():
        return "no /dev/net/tun: guests cannot have a network card"
    command = ["unshare", "--net", "--mount", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
