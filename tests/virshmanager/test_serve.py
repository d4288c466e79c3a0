"""The server as a person starts it: refusals of one line, one address, and nothing left behind."""

import http.client
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hosts.trust import asking
from tests.virshmanager.serving import (
    ROOT,
    STOP_SECONDS,
    environment,
    free_port,
    lines_until,
    refused,
    running,
)

MASTER_KEY = "correct-horse-battery-staple"


def signer_of(server: "subprocess.Popen[str]") -> psutil.Process:
    [found] = [
        child for child in psutil.Process(server.pid).children() if "hosts.trust.signer" in child.cmdline()
    ]
    return found


def holds_a_key(process: psutil.Process, home: Path) -> bool:
    """Whether the master key is in its environment, or a file of the authority's open."""
    keys = {home / "trust" / "ca.key", home / "trust" / "master.key"}
    opened = {Path(file.path) for file in process.open_files()}
    return MASTER_KEY in str(process.environ()) or not keys.isdisjoint(opened)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIRSHMANAGER_PORT", "eighty"),
        ("VIRSHMANAGER_LISTEN", "everywhere"),
        ("VIRSHMANAGER_LISTEN", "0.0.0.0"),  # noqa: S104 -- it must be refused
        ("VIRSHMANAGER_URL", "http://plain.example"),
        ("VIRSHMANAGER_SIGNER", "signer.sock"),
        ("VIRSHMANAGER_MASTER_KEY_FILE", "/proc/nowhere"),
        ("DATABASE_URL", "oracle://x/y"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing"),
        ("DATABASE_URL", "sqlite:////proc/nowhere"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("REDIS_URL", "unix:///proc/nowhere"),
    ],
)
def test_a_mistaken_setting_is_one_clear_line(tmp_path: Path, variable: str, value: str) -> None:
    assert variable in refused(tmp_path, **{"VIRSHMANAGER_PORT": str(free_port()), variable: value})


def test_a_master_key_that_does_not_open_is_said_before_anything_starts(tmp_path: Path) -> None:
    prepare = ["-m", "hosts.trust.signer", "--folder", str(tmp_path / "trust"), "--prepare"]
    variables = {"VIRSHMANAGER_MASTER_KEY": MASTER_KEY}
    subprocess.run([sys.executable, *prepare], env=environment(tmp_path, **variables), cwd=ROOT, check=True)
    variables = {"VIRSHMANAGER_PORT": str(free_port()), "VIRSHMANAGER_MASTER_KEY": MASTER_KEY[::-1]}
    assert "does not open" in refused(tmp_path, **variables)
    assert not (tmp_path / "log").exists()


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in refused(tmp_path, VIRSHMANAGER_PORT=port)
    assert not (tmp_path / "log").exists()


def test_a_state_folder_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    assert "too long" in refused(deep, VIRSHMANAGER_PORT=str(free_port()))


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("real_signer")
def test_it_works(tmp_path: Path) -> None:
    port = free_port()
    variables = {"VIRSHMANAGER_PORT": str(port), "VIRSHMANAGER_MASTER_KEY": MASTER_KEY}
    with running(tmp_path, **variables) as (process, lines):
        said = "\n".join(lines)
        assert f"VirshManager is ready: http://127.0.0.1:{port}/\n" in said
        assert re.search(rf"http://127\.0\.0\.1:{port}/\w+", said), "no setup link"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == http.client.OK
        connection.close()
        assert "Another VirshManager" in refused(tmp_path, VIRSHMANAGER_PORT=str(free_port()))
        assert stat.S_IMODE((tmp_path / "db.sqlite3").stat().st_mode) == 0o600
        children = psutil.Process(process.pid).children(recursive=True)
        assert [who for who in children if holds_a_key(who, tmp_path)] == [signer_of(process)]
        signer_of(process).kill()
        lines_until(process, "Starting signer again")
        until(lambda: asking.answers(tmp_path / "signer.sock"))
        children += [signer_of(process)]
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
