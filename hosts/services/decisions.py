"""What a person decides about a host. Each decision is a guarded update: of two at once, one counts."""

from functools import partial

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from access import audit
from access.choices import Action

from ..agent import hang_up
from ..choices import GIVEN_UP, Trust
from ..errors import NotPossible, sentence
from ..models import Host
from .certificates import deny_certificates
from .farewells import FAREWELL_FOR
from .records import announce, write
from .waking import wake_worker


def approve(host: Host, *, actor: User | None = None) -> None:
    """Let a host in that waits, was denied or was retired; a worker enrols it, or the next probe does.

    For a duplicate identity: the person has removed the copy, so the host is used again.

    Raises:
        NotPossible: when it does not wait for an approval.
    """
    if host.trust == Trust.OWNED and host.duplicated:
        with audit.deed(Action.HOST_APPROVE, host, actor=actor, detail={"duplicate": True}):
            _decide(host, {Trust.OWNED}, "not_waiting", boot_id="", problem="", reason="")
    else:
        waiting = {Trust.PENDING, *GIVEN_UP}
        values = approval(actor) | {"problem": "", "reason": ""}
        with audit.deed(Action.HOST_APPROVE, host, actor=actor, detail={"was": host.trust}):
            _decide(host, waiting, "not_waiting", trust=Trust.PENDING, **values)
    wake(host)


def approval(actor: User | None) -> dict[str, object]:
    """What is kept of who let a host in: his name outlives his account. Nobody: a command on the server."""
    return {"approved_at": timezone.now(), "approved_by": actor.get_username() if actor else ""}


def deny(host: Host, *, actor: User | None = None) -> None:
    """Refuse a host that is not owned. It is not spoken to until a person approves it.

    Raises:
        NotPossible: when it is owned, or denied or retired already.
    """
    refusal = "still_owned" if host.trust == Trust.OWNED else "not_waiting"
    with audit.deed(Action.HOST_DENY, host, actor=actor):
        _decide(host, {Trust.FOUND, Trust.PENDING}, refusal, trust=Trust.DENIED, **_because("denied"))


def retire(host: Host, *, actor: User | None = None) -> None:
    """Give an owned host up: its certificates are worth nothing here, and a worker has it forget this server.

    Whether it can be reached or not; which of the two it was is on the host then (see `farewells`).

    Raises:
        NotPossible: when it is not owned.
    """
    values = {"farewell_until": timezone.now() + FAREWELL_FOR, **_because("retired")}
    with audit.deed(Action.HOST_RETIRE, host, actor=actor):
        _decide(host, {Trust.OWNED}, "not_owned", trust=Trust.RETIRED, **values)
        deny_certificates(host)
    transaction.on_commit(partial(wake_worker, "hosts.tasks.say_farewell", host.pk))


def forget(host: Host, *, actor: User | None = None) -> None:
    """Delete the row of a host that is not owned. Nothing on the hypervisor changes.

    Raises:
        NotPossible: when it is owned.
    """
    with audit.deed(Action.HOST_FORGET, host, actor=actor, detail={"uuid": str(host.uuid)}):
        announce(host)
        if not Host.objects.exclude(trust=Trust.OWNED).filter(pk=host.pk).delete()[0]:
            raise NotPossible("still_owned")
    hang_up(host)


def wake(host: Host) -> None:
    """Let a worker look at the host as soon as the running transaction is committed."""
    transaction.on_commit(partial(wake_worker, "hosts.tasks.probe_host", host.pk))


def _because(problem: str) -> dict[str, str]:
    return {"problem": problem, "reason": sentence(problem)}


def _decide(host: Host, allowed: set[Trust], refusal: str, /, **values: object) -> None:
    """Change a host that is still in an allowed state; else refuse with the word `refusal`."""
    with transaction.atomic():
        if not write(Host.objects.filter(trust__in=allowed), host, **values):
            raise NotPossible(refusal)
        announce(host)
    hang_up(host)
