"""Adding a host by hand, without waiting for a crawl."""

from django.contrib.auth.models import User
from django.utils.translation import gettext

from access import audit
from access.choices import Action

from .. import guards, trust
from ..choices import DAEMON_PORT
from ..errors import BadInput, NotPossible
from ..identify import Stranger, identify
from ..models import Host
from .meeting import meet
from .quarantine import note_stranger


def add_by_hand(address: str, port: int = DAEMON_PORT, *, actor: User | None = None) -> Host:
    """Meet the daemon at an address now: at most one identification and one enrolment.

    Raises:
        BadInput: when the address lies in no enabled range.
        NotPossible: when no daemon of ours proves itself there; `problem` says what answers instead.
    """
    if not guards.may_dial(address):
        raise BadInput(
            "address", gettext("This address lies in no enabled range. Add a range that holds it first.")
        )
    with audit.refusals(Action.HOST_ADD, audit.Target("address", name=address), actor=actor):
        host = _met(address, port)
    audit.record(Action.HOST_ADD, host, actor=actor, detail={"address": address, "trust": host.trust})
    return host


def _met(address: str, port: int) -> Host:
    found = identify(address, port, client=trust.server_identity())
    if isinstance(found, Stranger):
        note_stranger(address, found)
        raise NotPossible(found.reason)
    meeting = meet(address, port, found)
    if meeting.host is None:
        raise NotPossible(meeting.outcome)
    return meeting.host
