"""The command itself, as processes: start, mistakes, crash of the worker, stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from doors import WELL_KNOWN, until

from virshmanagerd.master import SOON_SECONDS, Backoff


@dataclass
class Command:
    """The program with settings of its own."""

    directory: Path
    port: int

    def environment(self, **more: str) -> dict[str, str]:
        """Only our settings."""
        return {
            "PATH": os.environ["PATH"],
            "VIRSHMANAGERD_STATE_DIR": str(self.directory / "state"),
            "VIRSHMANAGERD_JOIN_FILE": str(self.directory / "join.json"),
            "VIRSHMANAGERD_URI": "test:///default",
            "VIRSHMANAGERD_LISTEN": "127.0.0.1",
            "VIRSHMANAGERD_PORT": str(self.port),
            **more,
        }

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [sys.executable, "-m", "virshmanagerd", *arguments],
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def log(self) -> str:
        """What the served program has said."""
        return (self.directory / "log").read_text()

    @contextlib.contextmanager
    def serve(self) -> Iterator[psutil.Popen]:
        """Start serving, and stop at the end."""
        with (self.directory / "log").open("wb") as log:
            process = psutil.Popen(
                [sys.executable, "-m", "virshmanagerd"], env=self.environment(), stdout=log, stderr=log
            )
        try:
            until(self.answers, 15)
            yield process
        finally:
            if process.is_running():
                process.terminate()
            process.wait(10)

    def connect(self) -> ssl.SSLSocket:
        """A TLS connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=5))

    def identity(self) -> Any:
        """What the daemon tells strangers."""
        with self.connect() as sock:
            request = f"GET {WELL_KNOWN} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            sock.sendall(request.encode())
            received = b"".join(iter(lambda: sock.recv(4096), b""))
        if not received:
            raise ConnectionAbortedError  # a change of trust came between
        return json.loads(received.partition(b"\r\n\r\n")[2])

    def answers(self, *, other_than: object = None) -> bool:
        """Say whether the daemon is there, perhaps with another id than a known one."""
        try:
            return bool(self.identity()["id"] != other_than)
        except OSError:
            return False


@pytest.fixture
def command(tmp_path: Path) -> Command:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return Command(tmp_path, free.getsockname()[1])


def test_a_wrong_setting_is_one_line(command: Command) -> None:
    done = command.run(VIRSHMANAGERD_PORT="many")
    assert done.returncode == 2
    assert done.stderr.startswith("virshmanagerd: the environment: port must be a number")
    assert done.stderr.count("\n") == 1


def test_a_state_that_cannot_be_used_is_one_line(command: Command) -> None:
    (command.directory / "state").write_text("this is no directory")
    done = command.run()
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if "cannot start" in line]
    assert "Traceback" not in done.stderr


def test_a_code_needs_a_daemon(command: Command) -> None:
    done = command.run("code")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("virshmanagerd: The daemon has not been started yet")


def test_a_code_beside_the_running_daemon(command: Command) -> None:
    with command.serve():
        done = command.run("code")
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.partition("\n")[0]
    assert shown
    assert shown not in command.log


def test_status_and_reset(command: Command) -> None:
    assert "has not been started yet" in command.run("status").stdout
    with command.serve():
        known = command.identity()["id"]
        assert known in command.run("status").stdout
        assert "forgotten" in command.run("reset").stdout
        until(lambda: command.answers(other_than=known))


def test_a_worker_that_dies_is_replaced(command: Command) -> None:
    with command.serve() as master:
        known = command.identity()
        worker = master.children()[0]
        worker.kill()
        until(lambda: [child.pid for child in master.children()] not in ([], [worker.pid]), 10)
        until(command.answers, 10)
        assert command.identity() == known


def test_a_worker_that_keeps_dying_is_replaced_ever_later() -> None:
    now = 1000.0
    backoff = Backoff(lambda: now)
    assert [backoff.wait() for _ in range(9)] == [0, 0, 1, 2, 4, 8, 16, 30, 30]
    now += SOON_SECONDS
    assert [backoff.wait() for _ in range(3)] == [0, 0, 1]


def replace_worker(master: psutil.Popen) -> None:
    known = master.children()[0]
    known.kill()
    until(lambda: any(child != known for child in master.children()), 10)


def test_a_worker_that_waits_ends_when_told(command: Command) -> None:
    with command.serve() as master:
        for _ in range(4):
            replace_worker(master)
        until(lambda: "the next waits 4 s" in command.log, 10)
        start = time.monotonic()
        master.terminate()
        assert master.wait(10) == 0
        assert time.monotonic() - start < 3


def test_a_worker_does_not_outlive_its_master(command: Command) -> None:
    with command.serve() as master:
        worker = master.children()[0]
        master.kill()
        worker.wait(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_time_with_open_connections(command: Command, number: signal.Signals) -> None:
    with command.serve() as master, contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(socket.create_connection(("127.0.0.1", command.port)))
            stack.enter_context(command.connect()).sendall(b"GET / HTTP/1.1\r\n")
        start = time.monotonic()
        master.send_signal(number)
        assert master.wait(10) == 0
        assert time.monotonic() - start < 3  # later the master kills


def test_it_is_small(command: Command) -> None:
    """All processes together, resident: what a hypervisor can spare."""
    with command.serve() as master:
        resident = [process.memory_info().rss for process in (master, *master.children())]
        assert sum(resident) < 90_000_000
