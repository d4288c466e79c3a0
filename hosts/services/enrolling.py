"""From a found daemon to an owned host, by join key. The steps of a proof are in `enrolment`."""

from datetime import timedelta

from cryptography import x509
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from access import audit
from access.choices import Action, Result

from .. import trust
from ..agent import hang_up
from ..choices import Approval, JoinedBy, Trust
from ..enrolment import Enrolment
from ..errors import AgentError, EnrolmentError
from ..identify import Identity
from ..models import Host, HostCertificate, JoinKey
from ..trust import SigningError
from . import join_keys
from .certificates import note_in_use, record_certificate
from .quarantine import quarantine
from .records import announce, record, set_problem, write
from .refreshing import ask, store

LEASE = timedelta(seconds=45)
WAITING = [Trust.FOUND, Trust.PENDING]


def enrol(host: Host, ip: str, port: int, identity: Identity) -> str:
    """Try to own a daemon that has no owner. Returns a trust, or the word for what went wrong."""
    key, refusal = join_keys.choose(identity.enrol, host, ip)
    if key is None:
        set_problem(host, refusal)
        return Trust.FOUND if refusal == "no_join_key" else refusal
    if _waits(host, key) and host.trust == Trust.PENDING and host.join_key_id == key.id:
        return Trust.PENDING
    if not take_lease(host):
        return "enrolling"
    try:
        return _join(host, key, Enrolment(ip, port, identity, trust.server_identity()))
    except EnrolmentError as error:
        if error.problem == "mitm_suspected" and host.owned_at is None:
            quarantine(identity.public_key_sha256, claimed=identity.uuid, ip=ip, problem=error.problem)
        fail(host, error.problem, str(error))
        return error.problem
    except SigningError as error:
        set_problem(host, error.problem, error.reason)
        return error.problem
    finally:
        release_lease(host)


def resume(host: Host, identity: Identity) -> str:
    """Own a daemon that already shows a certificate of ours: the last step of its enrolment was missed.

    A host that nobody here remembers waits for a person: its row may have been forgotten on purpose. So does
    one whose join key says so. What it showed before it was retired lets it in no more, whoever approves it.
    """
    certificate = x509.load_der_x509_certificate(identity.certificate_der)
    if HostCertificate.objects.denies(certificate):
        _hold(host, "certificate_denied")
        return "certificate_denied"
    if _waits(host, host.join_key):
        _hold(host, "approval_needed")
        return Trust.PENDING
    if not host.joined_by:
        record(host, joined_by=JoinedBy.APPROVAL)
    take_certificate(host, certificate)
    return own(host)


def _join(host: Host, key: JoinKey, enrolment: Enrolment) -> str:
    enrolment.prove(key.id, bytes(key.derived_key))
    if not join_keys.count_use(key, host):
        key.refresh_from_db()
        raise EnrolmentError(f"join_key_{key.state}" if key.state != "usable" else "join_key_spent")
    if _waits(host, key):
        _hold(host, "join_key_pending")
        return Trust.PENDING
    record(host, joined_by=JoinedBy.KEY)
    take_certificate(host, enrolment.finish())
    return own(host)


def _waits(host: Host, key: JoinKey | None) -> bool:
    return host.approved_at is None and (key is None or key.approve == Approval.PENDING)


def _hold(host: Host, problem: str) -> None:
    # Not when a person has denied it meanwhile.
    if write(Host.objects.filter(trust__in=WAITING), host, trust=Trust.PENDING):
        announce(host)
        set_problem(host, problem)


def take_certificate(host: Host, certificate: x509.Certificate) -> None:
    """Keep what was signed, before it is used; a person sees it with the rest, once the host is owned."""
    record_certificate(host, certificate)
    note_in_use(host, certificate)
    record(host, believes="")


def own(host: Host) -> str:
    """Dial again with full mutual TLS, and only when the host answers there write that it is owned."""
    hang_up(host)
    try:
        report = ask(host)
    except AgentError as error:
        fail(host, error.problem, error.reason)
        return error.problem
    # Only now it is known how the host calls itself, and its row in the audit is never written again.
    name = report.facts["hostname"]
    # A person may have denied it while it proved itself: then it is not owned after all.
    with transaction.atomic():
        waiting = Host.objects.filter(trust__in=WAITING)
        owned = write(waiting, host, trust=Trust.OWNED, owned_at=timezone.now(), hostname=name)
        if owned:
            audit.record(Action.HOST_ENROL, host, detail=_proof(host))
    if not owned:
        host.refresh_from_db()
        return host.trust
    host.refresh_from_db()
    store(host, report)
    return Trust.OWNED


def fail(host: Host, problem: str, reason: str) -> None:
    """Show why it was not owned, and record it once: it is tried again by each crawl."""
    if set_problem(host, problem, reason):
        audit.record(Action.HOST_ENROL, host, result=Result.REFUSED, problem=problem, detail=_proof(host))


def _proof(host: Host) -> dict[str, str]:
    return {
        "address": host.address,
        "join_key": str(host.join_key_id or ""),
        "fingerprint": host.public_key_sha256,
    }


def take_lease(host: Host) -> bool:
    """One process enrols a host at a time: the second proof would break the first."""
    now = timezone.now()
    free = Host.objects.filter(Q(enrolling_until=None) | Q(enrolling_until__lt=now), pk=host.pk)
    return bool(free.update(enrolling_until=now + LEASE))


def release_lease(host: Host) -> None:
    Host.objects.filter(pk=host.pk).update(enrolling_until=None)
