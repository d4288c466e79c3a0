"""Adopting a host by the code that a person read on it. The steps of the proof are in `enrolment`."""

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_variables

from access import audit
from access.choices import Action

from .. import guards, trust
from ..choices import GIVEN_UP, JoinedBy, Trust
from ..enrolment import CodeEnrolment
from ..errors import BadInput, EnrolmentError, NotPossible, OutsideRanges
from ..identify import API_VERSION, Identity, Stranger, identify
from ..models import Host
from ..trust.protocol import read_code
from .decisions import approval
from .enrolling import own, release_lease, take_certificate, take_lease
from .quarantine import is_quarantined, note_stranger, quarantine
from .records import announce, record_proof

ADOPTABLE = {Trust.FOUND, Trust.PENDING, *GIVEN_UP}


@sensitive_variables("code", "read")
def adopt(host: Host, code: str, *, actor: User | None = None) -> None:
    """Own a host that is not owned, now: at most one identification and one enrolment.

    The code is kept nowhere, and no error repeats it.

    Raises:
        BadInput: when it cannot be a code.
        NotPossible: when the host is owned, or did not prove itself; `problem` says how.
        OutsideRanges: when its address lies in no enabled range.
    """
    told = {"address": host.address, "fingerprint": host.public_key_sha256}
    with audit.refusals(Action.HOST_ADOPT, host, actor=actor, detail=told):
        _adopt(host, code, actor)
    audit.record(Action.HOST_ADOPT, host, actor=actor, detail=told)


@sensitive_variables("code", "read")
def _adopt(host: Host, code: str, actor: User | None) -> None:
    try:
        read = read_code(code)
    except ValueError:
        raise BadInput(
            "code", gettext("A code has ten letters and digits, as “virshmanagerd code” prints them.")
        ) from None
    if host.trust not in ADOPTABLE:
        raise NotPossible("owned_here")
    if not guards.may_dial(host.address):
        raise OutsideRanges
    identity = _identify(host)
    if not take_lease(host):
        raise NotPossible("enrolling")
    try:
        enrolment = CodeEnrolment(host.address, host.port, identity, trust.server_identity())
        enrolment.prove_code(read)
        _let_in(host, actor)
        take_certificate(host, enrolment.finish())
        outcome = own(host)
    except EnrolmentError as error:
        if error.problem == "mitm_suspected" and host.owned_at is None:
            _quarantine(host, identity, error.problem)
        raise
    finally:
        release_lease(host)
    if outcome != Trust.OWNED:
        raise NotPossible(outcome)


def _identify(host: Host) -> Identity:
    """Ask who is at the address of the host now; refuse all but the host itself, free to be owned."""
    found = identify(host.address, host.port, client=trust.server_identity())
    if isinstance(found, Stranger):
        note_stranger(host.address, found)
        raise NotPossible(found.reason)
    if found.uuid != host.uuid:
        raise NotPossible("wrong_identity")
    if is_quarantined(found.public_key_sha256):
        raise NotPossible("quarantined")
    if found.public_key_sha256 != host.public_key_sha256:
        _quarantine(host, found, "fingerprint_changed")
        raise NotPossible("fingerprint_changed")
    if API_VERSION not in found.api:
        raise NotPossible("api_too_old")
    if found.state == "owned":
        raise NotPossible("approval_needed" if found.owned_by_us else "already_owned")
    return found


def _quarantine(host: Host, identity: Identity, problem: str) -> None:
    quarantine(identity.public_key_sha256, claimed=identity.uuid, ip=host.address, problem=problem)


def _let_in(host: Host, actor: User | None) -> None:
    """The host has proved itself to a person: should the last answer be lost, the next probe owns it."""
    values = {"trust": Trust.PENDING, "join_key": None, "joined_by": JoinedBy.CODE, **approval(actor)}
    with transaction.atomic():
        if not Host.objects.filter(pk=host.pk, trust__in=ADOPTABLE).update(**values, problem="", reason=""):
            raise NotPossible("owned_here")
        host.refresh_from_db()
        announce(host)
    record_proof(host, host.address, host.port)
