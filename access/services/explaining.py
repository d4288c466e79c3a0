"""Why may, or may not, a user do this to that? By the same rule that decides (`permissions.Rights`)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from ..choices import Role, Target
from ..models import Grant
from ..permissions import EVERYTHING, Granted, may
from ..verbs import ADMINISTERED, OPERATED, SEE, needed
from .granting import names_of

ON_HOSTS: Final = (SEE, "define", "adopt", "approve", "deny", "retire", "forget", "probe", "test_connection")
ON_DOMAINS: Final = (SEE, "console", *OPERATED, "undefine", "forget")


class Reason(TextChoices):
    """What it comes down to."""

    DISABLED = "disabled", _("The account is disabled.")
    SUPERUSER = "superuser", _("A superuser may do everything.")
    GRANTED = "granted", _("A role that was granted is enough.")
    TOO_LITTLE = "too_little", _("What was granted on this is not enough.")
    NOTHING = "nothing", _("Nothing was granted that covers this.")


@dataclass(frozen=True)
class Line:
    """A grant that covers the object, by the name of what it is for, and whether it is enough."""

    grant: Grant
    name: str
    enough: bool


@dataclass(frozen=True)
class Explanation:
    allowed: bool
    reason: Reason
    needs: Role
    lines: list[Line]


def explained_verbs(target: str) -> tuple[str, ...]:
    """The verbs that are done to such an object."""
    if target == Target.HOST:
        return ON_HOSTS
    return ON_DOMAINS if target == Target.DOMAIN else (SEE, "console", *OPERATED, *ADMINISTERED)


def explain(user: User, verb: str, thing: Granted | None = None) -> Explanation:
    """Tell why a user may do `verb` to an object, or not; without one, to everything."""
    role = needed(verb)
    covering = list(_covering(user, thing))
    names = names_of(covering)
    lines = [Line(one, names[one.pk], one.role >= role) for one in covering]
    return Explanation(may(user, verb, thing), _reason(user, lines), role, lines)


def _covering(user: User, thing: Granted | None) -> Iterable[Grant]:
    places = {EVERYTHING, *(thing.places() if thing else ())}
    granted = Grant.objects.of(user).select_related("user", "group").order_by("-role", "pk")
    return (one for one in granted if one.place in places)


def _reason(user: User, lines: list[Line]) -> Reason:
    if not user.is_active:
        return Reason.DISABLED
    if user.is_superuser:
        return Reason.SUPERUSER
    if not lines:
        return Reason.NOTHING
    return Reason.GRANTED if any(line.enough for line in lines) else Reason.TOO_LITTLE
