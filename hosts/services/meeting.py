"""What follows when a daemon has proved its identity at an address."""

from dataclasses import dataclass

from django.db import transaction

from access import audit
from access.choices import Action

from .. import trust
from ..agent import agent_of, hang_up
from ..choices import Trust
from ..errors import AgentError, DuplicateIdentity, sentence
from ..identify import API_VERSION, Identity, identify
from ..models import Host
from . import enrolling
from .quarantine import is_quarantined, quarantine
from .records import announce, note_address, record_proof, set_problem
from .refreshing import refresh


@dataclass(frozen=True)
class Meeting:
    """How a meeting ended.

    `outcome` is a trust (`owned`, `pending`, `found`, `denied`, `retired`), `quarantined`, or the stable word
    of a problem; `reason` says it in words. `host` is None when the identity was not believed.
    """

    host: Host | None
    outcome: str
    reason: str = ""


def meet(ip: str, port: int, identity: Identity) -> Meeting:
    """Record a proven identity at an address, and own it when it may be owned.

    Never raises for what a daemon does wrong: that is in the outcome, and on the host or the quarantined key.
    """
    if is_quarantined(identity.public_key_sha256):
        return Meeting(None, "quarantined", sentence("quarantined"))
    host = _host_of(ip, port, identity)
    if host.public_key_sha256 != identity.public_key_sha256:
        problem = "fingerprint_changed"
        quarantine(identity.public_key_sha256, claimed=identity.uuid, ip=ip, problem=problem)
        return Meeting(None, problem, sentence(problem))
    outcome = _meet(host, ip, port, identity)
    return Meeting(host, outcome, host.reason)


def _host_of(ip: str, port: int, identity: Identity) -> Host:
    host, created = Host.objects.get_or_create(
        uuid=identity.uuid,
        defaults={"address": ip, "port": port, "public_key_sha256": identity.public_key_sha256},
    )
    if created:
        announce(host)
    return host


def _meet(host: Host, ip: str, port: int, identity: Identity) -> str:
    if host.given_up:
        # Who lets it in later, or has it forget this server, must not dial whoever has its old address now.
        record_proof(host, ip, port)
        return host.trust
    if host.duplicated:
        return host.problem
    if host.trust == Trust.OWNED:
        return _meet_owned(host, ip, port, identity)
    record_proof(host, ip, port)
    return _meet_newcomer(host, ip, port, identity)


def _meet_newcomer(host: Host, ip: str, port: int, identity: Identity) -> str:
    if API_VERSION not in identity.api:
        set_problem(host, "api_too_old")
        return "api_too_old"
    if identity.state != "owned":
        return enrolling.enrol(host, ip, port, identity)
    if identity.owned_by_us:
        return enrolling.resume(host, identity)
    set_problem(host, "already_owned")
    return "already_owned"


def _meet_owned(host: Host, ip: str, port: int, identity: Identity) -> str:
    elsewhere = (ip, port) != (host.address, host.port)
    if identity.state != "owned":
        # The identity shows without an owner. While the owned one answers too, one of them is a copy.
        if elsewhere and _boot_id(host, host.address, host.port) is not None:
            return _mark_duplicate(host, ip)
        return _lose(host, ip, port, identity)
    if elsewhere and not _settle(host, ip, port):
        return _mark_duplicate(host, ip)
    if not elsewhere:
        record_proof(host, ip, port)
    return refresh(host).problem or Trust.OWNED


def _settle(host: Host, ip: str, port: int) -> bool:
    """Choose the address of an owned host that showed elsewhere; False when two machines answer to it.

    Silence at the address known so far is a move. An answer there with the same boot id is one host with two
    addresses, and it keeps the one it has; with another boot id, or another certificate, it is a copy.
    """
    here, there = _boot_id(host, ip, port), _boot_id(host, host.address, host.port)
    if there is None:
        record_proof(host, ip, port)
    elif here is None or (here == there and not _are_two(host, ip, port)):
        note_address(host, ip, port)
    else:
        return False
    return True


def _are_two(host: Host, ip: str, port: int) -> bool:
    """Tell a machine that was copied while it ran, and so has the boot of the other, by its certificate.

    Only one of the two had the last renewal. One that comes in between these looks makes no copy.
    """
    known = (host.address, host.port)
    before, elsewhere, after = (_certificate(*place) for place in (known, (ip, port), known))
    return before is not None and elsewhere is not None and before == after != elsewhere


def _certificate(ip: str, port: int) -> bytes | None:
    found = identify(ip, port, client=trust.server_identity())
    return found.certificate_der if isinstance(found, Identity) else None


def _boot_id(host: Host, ip: str, port: int) -> str | None:
    """The boot id of the owned host at an address, or None when no owned host answers there."""
    try:
        return agent_of(host, at=(ip, port), insist=True).host()["boot_id"]
    except AgentError:
        return None


def _mark_duplicate(host: Host, ip: str) -> str:
    problem = DuplicateIdentity.problem
    hang_up(host)
    set_problem(host, problem, f"{sentence(problem)} ({host.address}, {ip})")
    return problem


def _lose(host: Host, ip: str, port: int, identity: Identity) -> str:
    """The host was reset: it is a newcomer again, and may join by a new key."""
    hang_up(host)
    owned = Host.objects.filter(pk=host.pk, trust=Trust.OWNED)
    values = {"trust": Trust.FOUND, "join_key": None, "approved_at": None, "approved_by": "", "joined_by": ""}
    with transaction.atomic():
        if owned.update(**values):
            audit.record(Action.HOST_LOSE, host, detail={"address": ip})
    host.refresh_from_db()
    if host.trust != Trust.FOUND:
        return host.trust
    set_problem(host, "ownership_lost")
    record_proof(host, ip, port)
    return _meet_newcomer(host, ip, port, identity) if identity.enrol else host.problem
