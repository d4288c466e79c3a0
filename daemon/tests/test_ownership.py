"""The states of ownership, and its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from virshmanagerd.ownership import ENROLLING_FOR, Owner, Ownership, OwnershipError

OWNER = Owner("server", "ca", "certificate", "key")


class Clock:
    """A clock that stands still."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "owner.json"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        json.dumps({"server_id": 1, "ca": "", "certificate": "", "key_id": ""}).encode(),
    ],
)
def test_a_damaged_file_never_means_unclaimed(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OwnershipError, match=r"owner\.json"):
        Ownership(path)


def test_what_was_proven_is_kept_until_the_end(path: Path) -> None:
    found = Ownership(path, Clock())
    found.begin(b"f", "server", "ca", "key")
    running = found.enrolment
    assert running
    assert (running.prover, running.server_id, running.ca, running.key_id) == (b"f", "server", "ca", "key")
    found.finish(OWNER)
    assert not found.changed_on_disk()
    assert Ownership(path).owner == OWNER


def test_enrolling_ends_by_the_clock(path: Path) -> None:
    clock = Clock()
    found = Ownership(path, clock)
    states = [found.state]
    found.begin(b"f", "server", "ca", "key")
    for seconds in (0, ENROLLING_FOR - 1, 1):
        clock.now += seconds
        states.append(found.state)
    assert states == ["unclaimed", "enrolling", "enrolling", "unclaimed"]
    assert found.enrolment is None


def test_a_new_proof_replaces_the_running_one(path: Path) -> None:
    found = Ownership(path)
    found.begin(b"one", "server", "ca", "key")
    found.begin(b"two", "server", "ca", "key")
    assert found.enrolment
    assert found.enrolment.prover == b"two"


def test_an_owner_lasts(path: Path) -> None:
    found = Ownership(path)
    found.begin(b"f", "server", "ca", "key")
    found.finish(OWNER)
    assert (found.state, found.enrolment) == ("owned", None)
    assert Ownership(path).owner == OWNER
    assert path.stat().st_mode & 0o777 == 0o600


def test_enrolling_does_not_last(path: Path) -> None:
    Ownership(path).begin(b"f", "server", "ca", "key")
    assert Ownership(path).state == "unclaimed"


def test_changes_by_others_are_noticed(path: Path) -> None:
    found = Ownership(path)
    found.finish(OWNER)
    assert not found.changed_on_disk()
    path.unlink()
    assert found.changed_on_disk()
    found.load()
    assert found.state == "unclaimed"
    assert not found.changed_on_disk()
