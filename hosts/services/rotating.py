"""The authority is followed by another one, host by host, and no stream ends for it (`trust.rotating`).

A worker goes on every minute, and does what is left: it may be killed at any point.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.utils import timezone

from access import audit
from access.choices import Action

from .. import trust
from ..agent import agent_of
from ..errors import AgentError, CertificateOutOfDate, NotPossible
from ..models import Host, HostQuerySet, JoinKey
from ..trust import Rotation
from ..trust.keys import certificate_fingerprint
from .join_keys import revoke_join_key
from .pacing import longest_untried
from .renewing import in_turn, renew

logger = logging.getLogger(__name__)

OVERLAP: Final = timedelta(days=30)
SHORTEST_OVERLAP: Final = timedelta(hours=1)


def rotate(overlap: timedelta = OVERLAP, *, hurried: bool = False) -> Rotation:
    """Begin to follow the authority by a new one, which takes over when every host knows it, or at the end.

    `hurried`, since the key was stolen: the old one does not wait for streams to end by themselves.

    Raises:
        NotPossible: while an authority is being followed already.
        SigningError: when the signer does not answer.
    """
    running = trust.rotation()
    if running and running.stage != "left":
        raise NotPossible("rotating")
    rotation = trust.start_rotation(take_over_by=timezone.now() + overlap, hurried=hurried)
    _record(Action.AUTHORITY_ROTATE, rotation)
    return rotation


def go_on_rotating(seconds: float) -> None:
    """Bring hosts along for about so many seconds, and take the next step when it is due.

    Raises:
        SigningError: when the signer does not answer.
    """
    rotation = trust.rotation()
    if rotation is None:
        return
    for host in in_turn(seconds, longest_untried(behind(rotation).spoken_to(), "renewal_tried_at")):
        _bring_along(host, rotation)
    now = timezone.now()
    if rotation.stage == "spreading":
        if now >= rotation.take_over_by or not behind(rotation).exists():
            _take_over(rotation)
    elif trust.ca().certificate != rotation.new:
        _take_over(rotation)  # it was cut
    elif rotation.stage == "moving":
        _revoke_join_keys(rotation)
        if _old_may_leave(rotation, now):
            trust.let_leave(rotation)
            _record(Action.AUTHORITY_LEAVE, rotation)


def behind(rotation: Rotation) -> HostQuerySet:
    """The owned hosts that are still to be brought along."""
    owned: HostQuerySet = Host.objects.owned()
    if rotation.stage == "spreading":
        return owned.exclude(believes=mark(rotation.believed))
    moved = {"signed_by": certificate_fingerprint(rotation.new)}
    if rotation.stage == "left":
        moved["believes"] = mark(rotation.believed)
    return owned.exclude(**moved)


def mark(authorities: tuple[x509.Certificate, ...]) -> str:
    """Name a set of authorities, as it is kept of each host."""
    return sha256("".join(map(certificate_fingerprint, authorities)).encode()).hexdigest()


def _bring_along(host: Host, rotation: Rotation) -> None:
    if rotation.stage != "spreading" and host.signed_by != certificate_fingerprint(rotation.new):
        if not renew(host):
            return
        host.refresh_from_db()
    if rotation.stage != "moving":
        _tell(host, rotation)


def _tell(host: Host, rotation: Rotation) -> None:
    """Have a host believe the authorities that it shall; if its certificate has expired, renew that first."""
    pems = [each.public_bytes(Encoding.PEM).decode() for each in rotation.believed]
    try:
        try:
            agent_of(host, insist=True).put_authorities(pems)
        except CertificateOutOfDate:
            if not renew(host):
                return
            agent_of(host, insist=True).put_authorities(pems)
    except AgentError as error:
        logger.warning("%s is not told of the authorities: %s", host, error)
        return
    Host.objects.filter(pk=host.pk).update(believes=mark(rotation.believed))


def _take_over(rotation: Rotation) -> None:
    trust.take_over(rotation)
    _record(Action.AUTHORITY_TAKE_OVER, rotation)
    logger.warning("The new certificate authority signs from now on")


def _revoke_join_keys(rotation: Rotation) -> None:
    """The hosts that have those of before believe the old authority, and cannot be enrolled any more."""
    for key in JoinKey.objects.usable().filter(created_at__lt=rotation.took_over_at):
        revoke_join_key(key)


def _record(action: Action, rotation: Rotation) -> None:
    told = {name: certificate_fingerprint(getattr(rotation, name)) for name in ("old", "new")}
    audit.record(action, audit.Target("authority", name=told["new"]), detail=told)


def _old_may_leave(rotation: Rotation, now: datetime) -> bool:
    earliest = rotation.old_may_leave_at
    if earliest is None or now < earliest:
        return False
    return now >= rotation.take_over_by or not behind(rotation).exists()


@dataclass(frozen=True)
class RotationReport:
    """How far a rotation has come. `behind` are the hosts that are still to be brought along."""

    rotation: Rotation
    hosts: int
    behind: list[Host]
    join_keys: int


def rotation_report() -> RotationReport | None:
    """Return how far the last rotation has come; None when there never was one."""
    rotation = trust.rotation()
    if rotation is None:
        return None
    return RotationReport(
        rotation,
        hosts=Host.objects.owned().count(),
        behind=list(behind(rotation)),
        join_keys=JoinKey.objects.usable().count() if rotation.stage == "spreading" else 0,
    )
