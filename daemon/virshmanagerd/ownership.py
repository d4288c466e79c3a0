"""Who owns this host: ``unclaimed -> enrolling -> owned -> (reset) -> unclaimed``.

The owner is on disk before it is in memory. ``enrolling`` is in memory only: a restart forgets it.
Who changes it holds one lock (see ``daemon``); to look, none is needed.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from virshmanagerd import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from virshmanagerd.adoption import Adoption

State = Literal["unclaimed", "enrolling", "owned"]

ENROLLING_FOR = 60.0


class OwnershipError(Exception):
    """The owner's file cannot be read; its text is one line for a person."""


@dataclass(frozen=True)
class Owner:
    """Who owns the host, and what he signed. ``ca`` and ``certificate`` are PEM, of one authority or more.

    ``key_id`` names the join key, and is empty when the host was adopted by code.
    """

    server_id: str
    ca: str
    certificate: str
    key_id: str


@dataclass(frozen=True)
class Enrolment:
    """A proof that waits for its end.

    By join key ``prover`` is the fingerprint of the server's certificate, over which the end must come. By
    code the server shows none: ``adoption`` is what the end must be proven with, on whatever connection.
    """

    server_id: str
    ca: str
    until: float
    prover: bytes = b""
    key_id: str = ""
    adoption: Adoption | None = None


class Ownership:
    """The state machine of ownership, and its file."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._enrolment: Enrolment | None = None
        self._seen: files.Signature = None
        self.owner: Owner | None = None
        self.load()

    @property
    def state(self) -> State:
        """The state of this moment."""
        if self.owner:
            return "owned"
        return "enrolling" if self.enrolment else "unclaimed"

    @property
    def enrolment(self) -> Enrolment | None:
        """The running enrolment, for as long as it may be finished."""
        running = self._enrolment
        return running if running and self._clock() < running.until else None

    def load(self) -> None:
        """Read the owner from disk.

        Raises:
            OwnershipError: when the file is damaged. A damaged file never means "unclaimed".
        """
        self._seen = files.signature(self._path)
        try:
            found = json.loads(self._path.read_bytes())
            self.owner = Owner(**{name: _text(found[name]) for name in _NAMES})
        except FileNotFoundError:
            self.owner = None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise OwnershipError(f"{self._path} cannot be read: {error!r}") from None

    def changed_on_disk(self) -> bool:
        """Say whether somebody else (``virshmanagerd reset``) changed the file."""
        return files.signature(self._path) != self._seen

    def begin(self, prover: bytes, server_id: str, ca: str, key_id: str) -> None:
        """A server has proven the join key: wait for it to finish. It replaces one that proved before."""
        until = self._clock() + ENROLLING_FOR
        self._enrolment = Enrolment(server_id, ca, until, prover=prover, key_id=key_id)

    def begin_adoption(self, adoption: Adoption, ca: str) -> None:
        """A server has proven the adopt code: wait for it, as for one with a join key."""
        until = self._clock() + ENROLLING_FOR
        self._enrolment = Enrolment(adoption.context.server_id, ca, until, adoption=adoption)

    def forget(self) -> None:
        """Remove the owner.

        Raises:
            OSError: when that cannot be; then nothing has changed.
        """
        files.remove(self._path)
        self.load()

    def finish(self, owner: Owner) -> None:
        """Store the owner.

        Raises:
            OSError: when it cannot be stored; then nothing has changed.
        """
        files.write_private(self._path, json.dumps(dataclasses.asdict(owner), indent=1).encode())
        self._seen = files.signature(self._path)
        self.owner = owner
        self._enrolment = None


_NAMES = tuple(field.name for field in dataclasses.fields(Owner))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
