"""Join keys: making, revoking, choosing and counting them."""

import ipaddress
import secrets
import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext

from access import audit
from access.choices import Action

from .. import trust
from ..choices import (
    JOIN_KEY_LIFE,
    LONGEST_JOIN_KEY_LIFE,
    LONGEST_LABEL,
    MAX_USES,
    SHORTEST_JOIN_KEY_LIFE,
    Approval,
)
from ..errors import BadInput
from ..models import Host, JoinKey
from ..trust.protocol import SECRET_BYTES, derive_key, to_base64


def create_join_key(
    *,
    label: str = "",
    cidrs: Iterable[str] = (),
    expires_in: timedelta = JOIN_KEY_LIFE,
    max_uses: int | None = None,
    approve: str = Approval.AUTO,
    actor: User | None = None,
) -> tuple[JoinKey, dict[str, object]]:
    """Make a join key, and the content of its join.json: this once, since only a derived key is kept.

    Raises:
        BadInput: for a label, a network, a life or a number of uses that cannot be.
    """
    _check(label, expires_in, max_uses)
    secret = secrets.token_bytes(SECRET_BYTES)
    key = JoinKey(
        label=label,
        derived_key=derive_key(secret),
        cidrs=[_network(cidr) for cidr in cidrs],
        approve=Approval(approve),
        max_uses=max_uses,
        created_by=actor,
        expires_at=timezone.now() + expires_in,
    )
    told = {"approve": key.approve, "max_uses": max_uses, "expires_at": key.expires_at.isoformat()}
    with audit.deed(Action.JOIN_KEY_CREATE, key, actor=actor, detail=told):
        key.save(force_insert=True)
    return key, {
        "version": 1,
        "key_id": str(key.id),
        "secret": to_base64(secret),
        "ca": trust.ca().pem,
        "expires_at": key.expires_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _check(label: str, expires_in: timedelta, max_uses: int | None) -> None:
    if len(label) > LONGEST_LABEL:
        limit = {"limit": LONGEST_LABEL}
        raise BadInput("label", gettext("A label has at most %(limit)s characters.") % limit)
    if not SHORTEST_JOIN_KEY_LIFE <= expires_in <= LONGEST_JOIN_KEY_LIFE:
        raise BadInput("expires_in", gettext("A join key lives from a second to 366 days."))
    if max_uses is not None and not 1 <= max_uses <= MAX_USES:
        limit = {"limit": MAX_USES}
        raise BadInput("max_uses", gettext("A join key can be used from 1 to %(limit)s times.") % limit)


def _network(cidr: str) -> str:
    try:
        return str(ipaddress.ip_network(cidr))
    except ValueError as error:
        raise BadInput("cidrs", gettext("Not a CIDR block: %(reason)s") % {"reason": error}) from None


def revoke_join_key(key: JoinKey, *, actor: User | None = None) -> None:
    """Let no host join by this key any more. Hosts that joined by it stay owned."""
    with transaction.atomic():
        if JoinKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            audit.record(Action.JOIN_KEY_REVOKE, key, actor=actor)
    key.refresh_from_db()


def choose(offered: Iterable[uuid.UUID], host: Host, ip: str) -> tuple[JoinKey | None, str]:
    """Return the first offered key that this host may use from `ip`; else None, and the word for why not."""
    refusal = "no_join_key"
    known = JoinKey.objects.in_bulk(list(offered))
    for key_id in offered:
        key = known.get(key_id)
        refusal = _refusal(key, host, ip)
        if not refusal:
            return key, ""
    return None, refusal


def _refusal(key: JoinKey | None, host: Host, ip: str) -> str:
    if key is None:
        return "join_key_unknown"
    # A use that was counted for this host stays its own, also when it was the last one.
    spent_by_others = key.state == "spent" and host.join_key_id != key.id
    if spent_by_others or key.state in {"expired", "revoked"}:
        return f"join_key_{key.state}"
    if key.cidrs and not any(_inside(ip, cidr) for cidr in key.cidrs):
        return "join_key_wrong_network"
    return ""


def _inside(ip: str, cidr: str) -> bool:
    return ipaddress.ip_address(ip) in ipaddress.ip_network(cidr)


def count_use(key: JoinKey, host: Host) -> bool:
    """Count that `host` joins by `key`, once per host; False when the key may not be used any more."""
    with transaction.atomic():
        if not Host.objects.filter(pk=host.pk).exclude(join_key=key).update(join_key=key):
            return True
        # Two hosts may prove the last use of a key at once: the database lets one of them have it.
        if not JoinKey.objects.usable().filter(pk=key.pk).update(uses=F("uses") + 1):
            transaction.set_rollback(True)
            return False
    host.join_key = key
    return True
