"""The signer as a process, and its socket."""

import contextlib
import ctypes
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hosts.trust import SigningError, asking, authority, keys, starting
from hosts.trust.signer import counter
from tests import signing
from tests.signing import csr

MASTER = {"VIRSHMANAGER_MASTER_KEY": "correct-horse-battery-staple"}
PR_GET_DUMPABLE = 3
AUTHORITY = b'{"want": "authority"}'
pytestmark = pytest.mark.usefixtures("real_signer")


@contextmanager
def listening(home: Path, users: set[int]) -> Iterator[Path]:
    """The counter, in a thread."""
    path = home / "signer.sock"
    with counter.listen(path) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the end of the listener
                counter.serve(listener, signing.desk(home), users=users)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


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


def test_a_peer_of_another_user_is_told_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with listening(tmp_path, {os.geteuid() + 1}) as path, pytest.raises(SigningError):
        asking.ask(path, "authority")
    assert f"process {os.getpid()} of user {os.geteuid()} may not ask" in caplog.text
    assert signing.desk(tmp_path).signed == 0


def test_a_request_that_is_too_large_is_refused(tmp_path: Path) -> None:
    padded = json.dumps({"want": "host", "csr": csr(keys.new_key()).decode()}).encode()
    with listening(tmp_path, {os.geteuid()}) as path:
        assert b"certificate" in signing.over_the_socket(path, padded.ljust(counter.MAX_REQUEST))
        assert json.loads(signing.over_the_socket(path, padded.ljust(counter.MAX_REQUEST + 1))) == {
            "refused": "too_large"
        }


def test_who_says_nothing_holds_up_nobody_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "PATIENCE", 0.1)
    with (
        listening(tmp_path, {os.geteuid()}) as path,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gone,
    ):
        silent.connect(str(path))
        gone.connect(str(path))
        gone.send(AUTHORITY)
        gone.close()
        assert asking.answers(path)


def test_a_signer_that_hangs_is_called_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.1)
    path = tmp_path / "signer.sock"
    with counter.listen(path):
        with pytest.raises(SigningError) as refused:
            asking.ask(path, "authority")
        assert not asking.answers(path)
    assert refused.value.problem == "signer_down"


def test_a_refusal_is_told_with_its_word(tmp_path: Path) -> None:
    with listening(tmp_path, {os.geteuid()}) as path, pytest.raises(SigningError, match="bad_csr") as refused:
        asking.ask(path, "host", csr="x")
    assert refused.value.problem == "not_signed"


def test_an_answer_that_is_none_is_called_down(tmp_path: Path) -> None:
    path = tmp_path / "signer.sock"
    for nonsense in (b"x", b"{}", b"[]", b'{"certificate": 5}', b'{"certificate": "x"}'):
        with counter.listen(path) as listener:

            def serve(answer: bytes = nonsense, listener: socket.socket = listener) -> None:
                with listener.accept()[0] as wire:
                    wire.recv(100)
                    wire.send(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            with pytest.raises(SigningError) as refused:
                asking.ask(path, "authority")
            thread.join()
        assert refused.value.problem == "signer_down"


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
