"""Keys that tried what they could not prove: shown, and not spoken to again."""

import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone

from access import audit
from access.choices import Action

from ..errors import sentence
from ..identify import Stranger
from ..models import QuarantinedKey


def is_quarantined(public_key_sha256: str) -> bool:
    """Whether this key is quarantined; seeing it again is noted."""
    known = QuarantinedKey.objects.filter(public_key_sha256=public_key_sha256)
    # An update that finds nothing would still make SQLite's other writers wait.
    return known.exists() and bool(known.update(last_seen=timezone.now()))


def quarantine(public_key_sha256: str, *, claimed: uuid.UUID | None, ip: str, problem: str) -> None:
    """Put a key away for the problem that it showed. What it claimed to be is not touched."""
    with transaction.atomic():
        key, new = QuarantinedKey.objects.update_or_create(
            public_key_sha256=public_key_sha256,
            defaults={"ip": ip, "problem": problem, "reason": sentence(problem), "last_seen": timezone.now()},
            create_defaults={
                "claimed_uuid": claimed,
                "ip": ip,
                "problem": problem,
                "reason": sentence(problem),
            },
        )
        if new:
            audit.record(Action.KEY_QUARANTINE, key, detail={"sha256": public_key_sha256})


def record_release(*, instance: QuarantinedKey, **_signal: Any) -> None:
    """A person lets a key be heard again. (Receiver of post_delete.)"""
    audit.record(Action.KEY_RELEASE, instance, detail={"sha256": instance.public_key_sha256})


def note_stranger(ip: str, stranger: Stranger) -> None:
    """Quarantine the key of a stranger that claimed an identity which is not its own; ignore all others."""
    if stranger.reason == "identity_mismatch" and stranger.public_key_sha256:
        quarantine(stranger.public_key_sha256, claimed=stranger.claimed, ip=ip, problem="identity_mismatch")
