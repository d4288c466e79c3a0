"""Grants for tests."""

from typing import Any

from django.contrib.auth.models import Group, User

from access.choices import Role, Target
from access.models import Grant


def granted(whom: User | Group, role: Role, on: Any = None) -> Grant:
    """Grant a role on everything, or on a tag (a text), a host or a domain."""
    place: dict[str, Any] = {"target": Target.EVERYTHING}
    if isinstance(on, str):
        place = {"target": Target.TAG, "tag": on}
    elif on is not None:
        place = {"target": Target(on._meta.model_name), "object_id": on.pk}
    who = {"group": whom} if isinstance(whom, Group) else {"user": whom}
    return Grant.objects.create(role=role, **who, **place)
