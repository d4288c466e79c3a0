"""The server as a person starts it: refusals of one line, one address, and nothing left behind."""

import http.client
import re
import signal
import socket
import stat
from pathlib import Path

import psutil
import pytest

from tests.virshmanager.serving import STOP_SECONDS, free_port, refused, running


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VIRSHMANAGER_PORT", "eighty"),
        ("VIRSHMANAGER_LISTEN", "everywhere"),
        ("VIRSHMANAGER_LISTEN", "0.0.0.0"),  # noqa: S104 -- it must be refused
        ("VIRSHMANAGER_URL", "http://plain.example"),
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
        assert stat.S_IMODE((tmp_path / "db.sqlite3").stat().st_mode) == 0o600
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
