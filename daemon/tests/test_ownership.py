"""The states of ownership, and its file."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from virshmanagerd.adoptcode import AdoptCode
from virshmanagerd.adoption import Adoption
from virshmanagerd.enrolment import Context
from virshmanagerd.ownership import ENROLLING_FOR, Owner, Ownership, OwnershipError

OWNER = Owner("server", "ca", "certificate", "key")
ADOPTION = Adoption(
    AdoptCode({b"salt": b"key"}, dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)),
    b"key",
    Context("code", "server", "daemon", b"s", b"d", b"host", b"ca"),
)


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


def test_a_file_that_cannot_be_read_never_means_unclaimed(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OwnershipError, match=r"owner\.json"):
        Ownership(path)


@pytest.mark.parametrize(("change", "wrong"), [({"key_id": 1729}, "1729"), ({"key_id": None}, "None")])
def test_a_person_is_told_in_one_line_what_is_wrong(
    path: Path, change: dict[str, object], wrong: str
) -> None:
    path.write_text(json.dumps({"server_id": "s", "ca": "c", "certificate": "c", "key_id": "k"} | change))
    with pytest.raises(OwnershipError) as refused:
        Ownership(path)
    assert wrong in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_an_owner_who_cannot_be_stored_owns_nothing(path: Path) -> None:
    """The server may finish the same enrolment once more."""
    found = Ownership(path, Clock())
    found.begin(b"f", "server", "ca", "key")
    with (
        mock.patch.object(os, "fsync", side_effect=OSError(28, "full")),
        pytest.raises(OSError, match="full"),
    ):
        found.finish(OWNER)
    assert (found.state, found.owner) == ("enrolling", None)
    assert found.enrolment
    assert Ownership(path).owner is None
    found.finish(OWNER)
    assert Ownership(path).owner == OWNER


def test_an_owner_who_cannot_be_removed_stays(path: Path) -> None:
    found = Ownership(path)
    found.finish(OWNER)
    with (
        mock.patch.object(Path, "unlink", side_effect=PermissionError(1, "not permitted")),
        pytest.raises(PermissionError),
    ):
        found.forget()
    assert (found.state, found.owner) == ("owned", OWNER)
    assert not found.changed_on_disk()


def test_nobody_owns_a_host_at_first(path: Path) -> None:
    found = Ownership(path)
    assert (found.state, found.owner, found.enrolment) == ("unclaimed", None, None)
    assert not found.changed_on_disk()


def test_what_was_proven_is_kept_until_the_end(path: Path) -> None:
    found = Ownership(path, Clock())
    found.begin(b"f", "server", "ca", "key")
    running = found.enrolment
    assert running
    assert (running.prover, running.server_id, running.ca, running.key_id) == (b"f", "server", "ca", "key")
    found.finish(OWNER)
    assert not found.changed_on_disk()
    assert Ownership(path).owner == OWNER


def test_what_was_proven_by_code_is_kept_until_the_end(path: Path) -> None:
    """It names no certificate and no join key that the end could be taken for."""
    found = Ownership(path, Clock())
    found.begin_adoption(ADOPTION, "ca")
    running = found.enrolment
    assert running
    assert running.adoption is ADOPTION
    assert (running.server_id, running.ca, running.prover, running.key_id) == ("server", "ca", b"", "")
    found.finish(OWNER)
    assert (found.state, found.enrolment) == ("owned", None)


def begin_by_key(found: Ownership) -> None:
    found.begin(b"f", "server", "ca", "key")


def begin_by_code(found: Ownership) -> None:
    found.begin_adoption(ADOPTION, "ca")


@pytest.mark.parametrize("begin", [begin_by_key, begin_by_code])
def test_enrolling_ends_by_the_clock(path: Path, begin: Callable[[Ownership], None]) -> None:
    clock = Clock()
    found = Ownership(path, clock)
    states = [found.state]
    begin(found)
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


def test_a_proof_by_key_and_one_by_code_replace_each_other(path: Path) -> None:
    found = Ownership(path)
    begin_by_key(found)
    begin_by_code(found)
    assert found.enrolment
    assert (found.enrolment.prover, found.enrolment.adoption) == (b"", ADOPTION)
    begin_by_key(found)
    assert found.enrolment
    assert (found.enrolment.prover, found.enrolment.adoption) == (b"f", None)


def test_an_owner_lasts(path: Path) -> None:
    found = Ownership(path)
    found.begin(b"f", "server", "ca", "key")
    found.finish(OWNER)
    assert (found.state, found.enrolment) == ("owned", None)
    again = Ownership(path)
    assert (again.state, again.owner, again.changed_on_disk()) == ("owned", OWNER, False)
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
    assert (found.state, found.owner) == ("unclaimed", None)
    assert not found.changed_on_disk()


def test_an_owner_is_forgotten_for_good(path: Path) -> None:
    found = Ownership(path)
    found.finish(OWNER)
    found.forget()
    assert (found.state, found.owner) == ("unclaimed", None)
    assert not found.changed_on_disk()
    assert Ownership(path).owner is None
    found.forget()
    assert found.state == "unclaimed"
