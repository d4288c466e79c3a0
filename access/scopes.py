"""What a token's scope lets a program do: one table for all routes of the API.

A token never allows more than its user may: the scope only takes away. To read, every scope will do. What
changes something and is not in the table needs `administer`: a verb that somebody forgets is refused.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import PermissionDenied

from .choices import Scope

if TYPE_CHECKING:  # the module of views loads the authentication, and so this one, by the settings
    from rest_framework.request import Request
    from rest_framework.views import APIView

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110, 9.2.1
OPERATED: Final = frozenset(
    {
        *("start", "shutdown", "reboot", "reset", "destroy", "suspend", "resume", "save", "restore"),
        *("autostart", "metadata", "console", "bulk", "cancel_operation"),
    }
)
# DELETE of the REST framework bears the name of libvirt's verb to force a domain off.
RENAMED: Final = {"destroy": "forget"}
ORDER: Final = tuple(Scope)


class ScopeTooNarrow(PermissionDenied):
    default_code = "scope_too_narrow"

    def __init__(self, has: Scope, needs: Scope) -> None:
        words = _("This needs a token of the scope `%(needs)s`: this one has `%(has)s`.")
        super().__init__(words % {"needs": needs.value, "has": has.value})


def needed(verb: str) -> Scope:
    return Scope.OPERATE if verb in OPERATED else Scope.ADMINISTER


def verb_of(view: "APIView") -> str:
    """What the called method of a view does: its name, or what `verbs` of the view calls it."""
    action = str(getattr(view, "action", ""))
    verbs: Mapping[str, str] = RENAMED | getattr(view, "verbs", {})
    return verbs.get(action, action)


def demand(scope: str, verb: str) -> None:
    """Raise ScopeTooNarrow unless a token of this scope may do this."""
    has, needs = Scope(scope), needed(verb)
    if ORDER.index(has) < ORDER.index(needs):
        raise ScopeTooNarrow(has, needs)


def demand_of(request: "Request", scope: str) -> None:
    """Raise ScopeTooNarrow unless a token of this scope may make this request."""
    if request.method not in READING:
        demand(scope, verb_of(request.parser_context["view"]))
