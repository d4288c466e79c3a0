"""A host that was retired is asked to forget this server: at once, and again every minute for an hour.

Whoever was not reached by then belongs to this server as far as it knows, and is not dialled any more: root
frees it with `virshmanagerd reset`.
"""

from datetime import timedelta
from typing import Final

from django.utils import timezone

from ..agent import forget_owner
from ..choices import Trust
from ..errors import AgentError, WrongIdentity, sentence
from ..identify import Identity, identify
from ..models import Host
from .pacing import for_about, longest_untried
from .records import announce, write

FAREWELL_FOR: Final = timedelta(hours=1)


def repeat_farewells(seconds: float) -> int:
    """Ask who was not reached yet, for about so many seconds; return how many were reached now."""
    waiting = Host.objects.filter(trust=Trust.RETIRED, farewell_until__gt=timezone.now())
    return sum(map(say_farewell, for_about(seconds, longest_untried(waiting, "farewell_tried_at"))))


def say_farewell(host: Host) -> bool:
    """Have a retired host forget this server; say whether it has. Never raises for what it does."""
    waiting = Host.objects.filter(pk=host.pk, trust=Trust.RETIRED, farewell_until__isnull=False)
    if not waiting.update(farewell_tried_at=timezone.now()):
        return False  # it heard, or a person has let it in again
    try:
        forget_owner(host)
    except AgentError as error:
        # The answer to the call before may have been lost: then it shows a certificate of its own.
        if not (isinstance(error, WrongIdentity) and _has_forgotten(host)):
            _note(host, "retired_untold", detail=error.reason)
            return False
    _note(host, "retired_told", farewell_until=None)
    return True


def _has_forgotten(host: Host) -> bool:
    found = identify(host.address, host.port, client=None)
    return isinstance(found, Identity) and found.uuid == host.uuid and found.state != "owned"


def _note(host: Host, problem: str, *, detail: str = "", **values: object) -> None:
    """Show how the farewell went, unless a person has let the host in again meanwhile."""
    values |= {"problem": problem, "reason": sentence(problem, detail=detail)}
    if write(Host.objects.filter(trust=Trust.RETIRED), host, **values):
        announce(host)
