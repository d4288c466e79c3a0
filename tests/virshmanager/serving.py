"""Start the server as a person does, and read its terminal."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def start(home: Path, *options: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "virshmanager.serve", *options],
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
def running(
    home: Path, *options: str, **variables: str
) -> "Iterator[tuple[subprocess.Popen[str], list[str]]]":
    """A server that is ready, and what it said until then."""
    process = start(home, *options, **variables)
    try:
        yield process, lines_until(process, "Ctrl-C stops it")
    finally:
        process.kill()
        process.communicate()
