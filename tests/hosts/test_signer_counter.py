"""The counter of the signer: its socket, in a thread of the test, and who asks there."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hosts.trust import SigningError, asking, keys
from hosts.trust.signer import counter
from tests import signing
from tests.signing import csr

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
