import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from redis import Redis

from discovery import services
from discovery.models import Range

Listen = Callable[[str], int]


@pytest.fixture
def home(tmp_path: Path, settings: Settings, redis_server: Redis) -> Path:
    """A state folder of the test's own, with a running Redis."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    return Path(settings.VIRSHMANAGER_HOME)


@pytest.fixture
def make_range(db: None, home: Path, free_port: int) -> Callable[..., Range]:
    """Make a range, uncapped, without a schedule, and of a port that nobody uses, unless told otherwise."""

    def make(cidr: str = "127.0.77.0/28", **fields: Any) -> Range:
        never = dict.fromkeys(("full", "new", "recheck", "probe"))
        given: dict[str, Any] = {
            "cidr": cidr,
            "port": free_port,
            "max_rate": None,
            "schedule": never,
        } | fields
        return services.create_range(**given)

    return make


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def listen(free_port: int) -> Iterator[Listen]:
    """Listen on `free_port` of an address: the kernel completes connections, and nobody ever answers."""
    with ExitStack() as sockets:

        def start(ip: str) -> int:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            listener = sockets.enter_context(socket.socket(family))
            listener.bind((ip, free_port))
            listener.listen(64)
            return free_port

        yield start


@pytest.fixture
def fake_nmap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script in the place of nmap. It is given nmap's arguments."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "nmap"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


def wait_until(condition: Callable[[], object], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Does the process run? One that ended and was not waited for does not."""
    stat = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return bool(stat.strip()) and not stat.startswith("Z")
