"""Quotas: set, and what they leave to a user. (Signals tell the audit of them.)

The domains of a user are those on which he himself was granted operator or more, each by its own grant: a
role by a group, a tag, a host or everything is power over what others have, and makes nothing his.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from django.contrib.auth.models import Group, User
from django.db import transaction

from .. import siblings
from ..choices import Resource, Role, Target
from ..models import Grant, Quota
from .people import demand_power_over, held_by

# By the values of Resource; None does not limit.
Limits = Mapping[str, int | None]
NO_LIMITS: Final[Limits] = dict.fromkeys(Resource.values)


@dataclass(frozen=True)
class Room:
    """Of one resource: the strictest limit, whose that is, and what is used.

    `limit` is None when nothing limits it; `group` is None of a limit of the user's own. `used` is None when
    it is not known: no host tells how large disks are, so who creates some counts what he creates.
    """

    limit: int | None
    group: Group | None
    used: int | None

    @property
    def left(self) -> int | None:
        """What may still be created; None when nothing limits it or, with a `limit`, when it is not known."""
        return None if self.limit is None or self.used is None else max(0, self.limit - self.used)


def quota_of(whom: User | Group) -> Quota:
    """What was set for a user or a group itself; one without any limit if nothing was."""
    return Quota.objects.filter(**held_by(whom)).first() or Quota(**held_by(whom))


def set_quota(whom: User | Group, limits: Limits, *, actor: User) -> None:
    """Set the limits of a user, or of each member of a group. Without any limit the quota is lifted.

    Raises PermissionDenied of a superuser, when the actor is none.
    """
    if isinstance(whom, User):
        demand_power_over(whom, actor)
    wanted = {**NO_LIMITS, **limits}
    with transaction.atomic():
        if wanted == NO_LIMITS:
            Quota.objects.filter(**held_by(whom)).delete()
        elif wanted != quota_of(whom).limits:
            Quota.objects.update_or_create(**held_by(whom), defaults=wanted)


def room_of(user: User) -> dict[Resource, Room]:
    """What a user may still create, by his quota and those of his groups: the strictest of each counts."""
    his = Grant.objects.filter(user=user, target=Target.DOMAIN).at_least(Role.OPERATOR)
    used = siblings.usage(his.order_by().values_list("object_id", flat=True))._asdict()
    quotas = Quota.objects.of(user).select_related("group")
    return {one: Room(*_strictest(one, quotas), used.get(one)) for one in Resource}


def _strictest(resource: Resource, quotas: Iterable[Quota]) -> tuple[int | None, Group | None]:
    limits = ((limit, quota.group) for quota in quotas if (limit := quota.limits[resource]) is not None)
    return min(limits, key=itemgetter(0), default=(None, None))
