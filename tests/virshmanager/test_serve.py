"""The server as a person starts it: refusals of one line, one address, and nothing left behind."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_SECONDS = 20
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(home: Path, **variables: str) -> dict[str, str]:
    """A plain environment: no variable of the test run reaches the server."""
    return {"PATH": os.environ["PATH"], "VIRSHMANAGER_HOME": str(home), **variables}


def start(home: Path, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "virshmanager.serve"],
        cwd=ROOT,
        env=environment(home, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def refused(home: Path, **variables: str) -> str:
    """Start the server, which must exit with 2, and return its words."""
    process = start(home, **variables)
    out, err = process.communicate(timeout=START_SECONDS)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1), err
    return err


def lines_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    """The lines on the terminal up to the one with the text; the end of the output fails the test."""
    lines: list[str] = []
    if process.stdout:
        for line in process.stdout:
            lines.append(line.rstrip())
            if text in line:
                return lines
    pytest.fail(f"{text!r} was not said: {lines} {process.stderr.read() if process.stderr else ''}")


@contextmanager
def running(home: Path, **variables: str) -> "Iterator[tuple[subprocess.Popen[str], list[str]]]":
    """A server that is ready, and what it said until then."""
    process = start(home, **variables)
    try:
        yield process, lines_until(process, "Ctrl-C stops it")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIRSHMANAGER_PORT", "eighty"),
        ("VIRSHMANAGER_LISTEN", "everywhere"),
        ("VIRSHMANAGER_LISTEN", "0.0.0.0"),  # noqa: S104 -- it must be refused
        ("VIRSHMANAGER_URL", "http://plain.example"),
        ("DATABASE_URL", "oracle://x/y"),
        ("REDIS_URL", "http://localhost"),
    ],
)
def test_a_mistaken_setting_is_one_clear_line(tmp_path: Path, variable: str, value: str) -> None:
    assert variable in refused(tmp_path, **{variable: value})


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in refused(tmp_path, VIRSHMANAGER_PORT=port)
    assert not (tmp_path / "log").exists()


def test_a_state_folder_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    assert "too long" in refused(deep, VIRSHMANAGER_PORT=str(free_port()))


@pytest.mark.timeout(180)
def test_it_works(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, VIRSHMANAGER_PORT=str(port)) as (process, lines):
        said = "\n".join(lines)
        assert f"VirshManager is ready: http://127.0.0.1:{port}/\n" in said
        assert re.search(rf"http://127\.0\.0\.1:{port}/\w+", said), "no setup link"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == http.client.OK
        connection.close()
        assert "Another VirshManager" in refused(tmp_path, VIRSHMANAGER_PORT=str(free_port()))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
        assert not [child for child in children if child.is_running()]


@pytest.mark.timeout(180)
def test_it_starts_again_after_it_was_killed(tmp_path: Path) -> None:
    port = str(free_port())
    with running(tmp_path, VIRSHMANAGER_PORT=port) as (process, _):
        process.kill()
        process.wait()
    with running(tmp_path, VIRSHMANAGER_PORT=port) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
