"""One authority follows another: what every process knows of that, in `rotation.json`.

spreading   hosts are told of the new one, and believe both; the old one signs
moving      the new one signs; hosts and server get its certificates, and still believe both
left        the old one is believed no more, and taken out of the hosts
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from . import asking, files
from .keys import certificate_fingerprint

FILE: Final = "rotation.json"
# The life of a server's certificate. A stream that was opened by the last one of the old authority ends by
# then as it would without a rotation: so nobody's stream ends for it.
LAST_OF_THE_OLD: Final = timedelta(days=7)

Stage = Literal["spreading", "moving", "left"]


@dataclass(frozen=True)
class Rotation:
    """`take_over_by` is when the new authority takes over at the latest.

    `hurried`: the old one leaves as soon as all have moved, and what its certificates opened is cut.
    """

    old: x509.Certificate
    new: x509.Certificate
    started_at: datetime
    take_over_by: datetime
    hurried: bool = False
    took_over_at: datetime | None = None
    left_at: datetime | None = None

    @property
    def stage(self) -> Stage:
        if self.left_at:
            return "left"
        return "moving" if self.took_over_at else "spreading"

    @property
    def old_may_leave_at(self) -> datetime | None:
        wait = timedelta() if self.hurried else LAST_OF_THE_OLD
        return self.took_over_at and self.took_over_at + wait

    @property
    def believed(self) -> tuple[x509.Certificate, ...]:
        """What hosts shall believe."""
        return (self.new,) if self.left_at else (self.new, self.old)


def read(folder: Path) -> Rotation | None:
    """Return the last rotation, running or ended; None when there never was one."""
    try:
        found = json.loads((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    return Rotation(
        x509.load_pem_x509_certificate(found.pop("old").encode()),
        x509.load_pem_x509_certificate(found.pop("new").encode()),
        hurried=found.pop("hurried"),
        **{name: value and datetime.fromisoformat(value) for name, value in found.items()},
    )


def start(folder: Path, signer: Path, old: x509.Certificate, **plan: Any) -> Rotation:
    """Have the authority made that follows `old`, by a plan of Rotation's fields. Raises SigningError."""
    return write(folder, Rotation(old, asking.ask(signer, "next"), **plan))


def take_over(folder: Path, signer: Path, rotation: Rotation, now: datetime) -> None:
    """Let the new authority sign. What a crash has cut is completed by a second call. Raises SigningError."""
    # Before it signs: whoever meets a certificate of either knows both.
    write(folder, replace(rotation, took_over_at=rotation.took_over_at or now))
    asking.ask(signer, "take_over", fingerprint=certificate_fingerprint(rotation.new))
    files.replace(folder / "ca.pem", rotation.new.public_bytes(Encoding.PEM))


def let_leave(folder: Path, rotation: Rotation, now: datetime) -> Rotation:
    """Believe the old authority no more."""
    return write(folder, replace(rotation, left_at=now))


def write(folder: Path, rotation: Rotation) -> Rotation:
    times = ("started_at", "take_over_by", "took_over_at", "left_at")
    moments = {name: getattr(rotation, name) for name in times}
    found = {
        "old": rotation.old.public_bytes(Encoding.PEM).decode(),
        "new": rotation.new.public_bytes(Encoding.PEM).decode(),
        "hurried": rotation.hurried,
        **{name: moment and moment.isoformat() for name, moment in moments.items()},
    }
    files.replace(folder / FILE, json.dumps(found, indent=1).encode())
    return rotation
