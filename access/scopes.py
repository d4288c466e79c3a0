"""What a token's scope lets a program do of what its user may: it takes away, and adds nothing.

To read, every scope will do. What changes something takes `operate` where an operator or a viewer may do it,
by the table of all verbs, else `administer`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS

from . import verbs
from .choices import Role, Scope

if TYPE_CHECKING:  # the module of views loads the authentication, and so this one, by the settings
    from rest_framework.request import Request
    from rest_framework.views import APIView

# Of many domains, and of what was asked for: each verb in it is asked about by its own name.
OF_OPERATORS: Final = frozenset({"bulk", "cancel_operation"})
# DELETE of the REST framework bears the name of libvirt's verb to force a domain off.
RENAMED: Final = {"destroy": "forget"}
ORDER: Final = tuple(Scope)


class ScopeTooNarrow(PermissionDenied):
    default_code = "scope_too_narrow"

    def __init__(self, has: Scope, needs: Scope) -> None:
        words = _("This needs a token of the scope `%(needs)s`: this one has `%(has)s`.")
        super().__init__(words % {"needs": needs.value, "has": has.value})


def needed(verb: str) -> Scope:
    """The scope for what changes something, by the role that it takes (access/verbs.py)."""
    operated = verb in OF_OPERATORS or verbs.needed(verb) <= Role.OPERATOR
    return Scope.OPERATE if operated else Scope.ADMINISTER


def verb_of(view: "APIView") -> str:
    """What the called method of a view does: its name, or what `verbs` of the view calls it."""
    action = str(getattr(view, "action", ""))
    names: Mapping[str, str] = RENAMED | getattr(view, "verbs", {})
    return names.get(action, action)


def demand(scope: str, verb: str) -> None:
    """Raise ScopeTooNarrow unless a token of this scope may do this."""
    has, needs = Scope(scope), needed(verb)
    if ORDER.index(has) < ORDER.index(needs):
        raise ScopeTooNarrow(has, needs)


def demand_of(request: "Request", scope: str) -> None:
    """Raise ScopeTooNarrow unless a token of this scope may make this request."""
    if request.method not in SAFE_METHODS:
        demand(scope, verb_of(request.parser_context["view"]))
