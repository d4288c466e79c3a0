"""Is a known host still there and well, and if not, who is there instead?"""

from dataclasses import dataclass

from django.db.models import F

from .. import guards, trust
from ..choices import Trust
from ..errors import OutsideRanges
from ..identify import Identity, Stranger, identify
from ..models import Host
from .meeting import Meeting, meet
from .quarantine import note_stranger
from .records import record, set_problem
from .refreshing import refresh


@dataclass(frozen=True)
class ProbeOutcome:
    """How a probe ended. `answered`: the host itself proved to be there.

    `met` is who answered at its address by proving an identity, the host's own or another;
    `stranger` is what answered there without one. Both are None when the host simply answered.
    """

    answered: bool
    problem: str = ""
    reason: str = ""
    met: Meeting | None = None
    stranger: Stranger | None = None


def probe(host: Host) -> ProbeOutcome:
    """Look after one host, at its last address. Never raises for what answers there.

    An owned host proves itself over mutual TLS, and nothing more is asked. Where that fails, and for a host
    that is not owned, whoever answers is identified; a newcomer is met, and the host has missed a probe.
    """
    if host.given_up:
        return ProbeOutcome(answered=False, problem=host.trust, reason=host.reason)
    if host.trust == Trust.OWNED:
        outcome = refresh(host)
        if outcome.answered or host.duplicated:
            return ProbeOutcome(outcome.answered, outcome.problem, outcome.reason)
    if not guards.may_dial(host.address):
        error = OutsideRanges()
        set_problem(host, error.problem, error.reason)
        return ProbeOutcome(answered=False, problem=error.problem, reason=error.reason)
    found = identify(host.address, host.port, client=trust.server_identity())
    if isinstance(found, Identity):
        return _meet(host, found)
    note_stranger(host.address, found)
    if host.trust == Trust.OWNED:
        # Its miss was counted by its refresh, mostly with a better reason than what a stranger gives.
        if found.reason == "owned_by_another":
            set_problem(host, found.reason)
    else:
        Host.objects.filter(pk=host.pk).update(missed_probes=F("missed_probes") + 1)
        host.missed_probes += 1
        set_problem(host, found.reason)
    return ProbeOutcome(answered=False, problem=host.problem, reason=host.reason, stranger=found)


def _meet(host: Host, found: Identity) -> ProbeOutcome:
    if found.uuid == host.uuid and host.trust == Trust.OWNED and found.state == "owned":
        # It is there, and its refresh failed for a reason that is on record: a meeting would repeat that.
        return ProbeOutcome(answered=False, problem=host.problem, reason=host.reason)
    met = meet(host.address, host.port, found)
    if found.uuid == host.uuid:
        host.refresh_from_db()
        return ProbeOutcome(answered=True, problem=host.problem, reason=host.reason, met=met)
    if host.trust != Trust.OWNED:
        record(host, missed_probes=host.missed_probes + 1)
    set_problem(host, "wrong_identity")
    return ProbeOutcome(answered=False, problem=host.problem, reason=host.reason, met=met)
