"""The signer of the tests: its desk in this process, one for each folder, without socket, seal and file.

Tests of the signer itself, and of whole servers, run the real process.
"""

from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hosts.trust import Authority, asking, authority, files, keys
from hosts.trust.signer.desk import Desk, Peer
from hosts.trust.signer.issuer import Issuer, self_signed
from hosts.trust.signer.succession import Succession

over_the_socket = asking.exchange


@cache
def desk(home: Path) -> Desk:
    key = keys.new_key()
    return Desk(Succession(Issuer(key, self_signed(key))), files.private_folder(home / "trust"))


def answer(signer: Path, request: bytes) -> bytes:
    return desk(signer.parent).answer(request, Peer(0, 0, 0))


@pytest.fixture(autouse=True)
def signer_at_its_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "exchange", answer)


@pytest.fixture
def real_signer(signer_at_its_desk: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who signs is a process that the test has started, and is asked over its socket."""
    monkeypatch.setattr(asking, "exchange", over_the_socket)


def another_authority(home: Path) -> Authority:
    """An authority of its own, in a folder of a test."""
    return authority.load(files.private_folder(home / "trust"), home / "signer.sock")


def csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    return keys.signing_request(key)
