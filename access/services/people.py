"""Users and groups: found, made, disabled, put together. Superusers are changed by superusers alone.

Signals tell the audit of all of it.
"""

from collections.abc import Collection
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from ..errors import NoSuchUser


def active_user(name: str) -> User:
    """Return the user of this name. Raises NoSuchUser when none who is active has it."""
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise NoSuchUser(name)
    return user


def create_user(*, name: str, password: str, groups: Collection[Group] = ()) -> User:
    """Return a new user, who may do what his groups were granted. Raises ValidationError."""
    user = User(username=name)
    user.full_clean(exclude=["password"])
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None
    user.set_password(password)
    user.save()
    user.groups.set(groups)
    return user


def set_active(user: User, *, active: bool, actor: User) -> None:
    """Let a user in again, or end all that he has open, within two seconds. What he was granted is kept.

    Raises:
        PermissionDenied: of a superuser, when the actor is none.
        ValidationError: of oneself, who could not undo it.
    """
    demand_power_over(user, actor)
    if user == actor and not active:
        raise ValidationError({"active": _("You cannot disable yourself.")})
    user.is_active = active
    user.save(update_fields=["is_active"])


def put_into_groups(user: User, groups: Collection[Group], *, actor: User) -> None:
    """Make these the groups of a user. Raises PermissionDenied of a superuser, when the actor is none."""
    demand_power_over(user, actor)
    user.groups.set(groups)


def create_group(name: str) -> Group:
    """Return a new group. Raises ValidationError."""
    group = Group(name=name)
    group.full_clean()
    group.save()
    return group


def rename_group(group: Group, name: str) -> None:
    """Give a group another name; its members and its grants stay. Raises ValidationError."""
    group.name = name
    group.full_clean()
    group.save(update_fields=["name"])


def held_by(whom: User | Group) -> dict[str, Any]:
    """The field of a grant or a quota that says whose it is."""
    return {"group" if isinstance(whom, Group) else "user": whom}


def demand_power_over(user: User, actor: User) -> None:
    """Raise PermissionDenied of a superuser, when the actor is none."""
    if user.is_superuser and not actor.is_superuser:
        raise PermissionDenied
