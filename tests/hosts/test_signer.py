"""The signer as a process."""

import ctypes
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hosts.trust import SigningError, asking, authority, keys, starting
from hosts.trust.signer import counter
from tests.signing import csr

MASTER = {"VIRSHMANAGER_MASTER_KEY": "correct-horse-battery-staple"}
PR_GET_DUMPABLE = 3
pytestmark = pytest.mark.usefixtures("real_signer")


def command(home: Path, *options: str) -> list[str]:
    folder, path = str(home / "trust"), str(home / "signer.sock")
    return [sys.executable, "-m", "hosts.trust.signer", "--folder", folder, "--socket", path, *options]


@contextmanager
def running(home: Path, arguments: list[str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(arguments or command(home), env=os.environ | MASTER) as process:
        try:
            until(lambda: asking.answers(home / "signer.sock") or process.poll() is not None)
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_key_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    prepare = command(tmp_path, "--prepare")
    assert subprocess.run(prepare, env=os.environ | MASTER, check=False).returncode == 0
    other = {"VIRSHMANAGER_MASTER_KEY": "another-master-key-of-ours"}
    ended = subprocess.run(prepare, env=os.environ | other, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "does not open" in ended.stderr
    assert "another-master" not in ended.stderr
    with (
        pytest.raises(SigningError, match="no master key is here"),
        starting.signer(tmp_path / "trust", tmp_path / "signer.sock"),
    ):
        pass


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    """Each would sign by the authority of its own start."""
    with running(tmp_path):
        ended = subprocess.run(command(tmp_path, "--prepare"), check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "Another signer runs" in ended.stderr


def test_its_memory_is_nobodys_to_read() -> None:
    program = (
        "import ctypes; from hosts.trust.unreadable import keep_unreadable; keep_unreadable();"
        f"print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0))"
    )
    assert ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1
    assert subprocess.check_output([sys.executable, "-c", program]) == b"0\n"


def test_it_takes_the_socket_that_systemd_made(tmp_path: Path) -> None:
    path = tmp_path / "signer.sock"
    with counter.listen(path) as listener:
        # sd_listen_fds(3): the variables name the process itself.
        script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@" 3<&"$FD"'
        wrapped = ["bash", "-c", script, *command(tmp_path)[:5]]
        environment = os.environ | MASTER | {"FD": str(listener.fileno())}
        with subprocess.Popen(wrapped, env=environment, pass_fds=[listener.fileno()]) as process:
            try:
                until(lambda: asking.answers(path) or process.poll() is not None)
                assert process.poll() is None
            finally:
                process.kill()


def test_a_command_has_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRSHMANAGER_MASTER_KEY", MASTER["VIRSHMANAGER_MASTER_KEY"])
    path = tmp_path / "signer.sock"
    with starting.signer(tmp_path / "trust", path):
        assert asking.answers(path)
    assert not asking.answers(path)


def test_one_of_a_command_s_own_is_not_held_up_by_what_it_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400 signatures it logs more than a pipe holds that nobody reads (pipe(7): 64 KiB)."""
    monkeypatch.setenv("VIRSHMANAGER_MASTER_KEY", MASTER["VIRSHMANAGER_MASTER_KEY"])
    with starting.signer(tmp_path / "trust", tmp_path / "signer.sock"):
        ours = authority.load(tmp_path / "trust", tmp_path / "signer.sock")
        request = csr(keys.new_key())
        for _ in range(400):
            assert ours.issued(ours.sign_host(request))


def test_it_works_also_after_it_was_killed(tmp_path: Path) -> None:
    with running(tmp_path):
        assert stat.S_IMODE((tmp_path / "signer.sock").stat().st_mode) == 0o600
        first = authority.load(tmp_path / "trust", tmp_path / "signer.sock")
        assert first.issued(first.sign_host(csr(keys.new_key())))
    with pytest.raises(SigningError):
        first.sign_host(csr(keys.new_key()))
    with running(tmp_path):
        assert first.issued(first.sign_host(csr(keys.new_key())))
