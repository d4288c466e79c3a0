"""Grants: given, and told by the names of what they are for. (Signals tell the audit of them.)"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from .. import siblings
from ..choices import LONGEST_TAG, Role, Target
from ..models import Grant, Place
from .people import held_by


def place_of(target: str, text: str) -> tuple[Place, Any]:
    """Return what a person names, as a place and the object; None of everything and of a tag.

    Raises ValidationError when there is no such thing, or when there are several.
    """
    kind, said = Target(target), text.strip()
    if kind == Target.EVERYTHING:
        return Place(kind), None
    if not said:
        raise ValidationError({"name": _("Say which one.")})
    if kind == Target.TAG:
        if len(said) > LONGEST_TAG:
            too_long = _("A tag has at most %(most)d characters.") % {"most": LONGEST_TAG}
            raise ValidationError({"name": too_long})
        return Place(kind, tag=said), None
    found = siblings.named(kind, said)
    if not found:
        raise ValidationError({"name": _("There is none of this name.")})
    if len(found) > 1:
        raise ValidationError({"name": _("There are several of this name: give the UUID.")})
    return Place(kind, object_id=found[0].pk), found[0]


def grant(whom: User | Group, role: Role, place: Place, *, actor: User) -> Grant:
    """Grant a role; one that was granted on the same before is replaced.

    Raises ValidationError when there is no such object.
    """
    if place.object_id and not siblings.things(place.target, [place.object_id]):
        raise ValidationError({"object_id": _("There is no such object.")})
    granted, _made = Grant.objects.update_or_create(
        **held_by(whom), **place._asdict(), defaults={"role": role, "created_by": actor}
    )
    return granted


def told(grants: Iterable[Grant]) -> list[tuple[Grant, str]]:
    """The grants, each with the name of what it is for."""
    listed = list(grants)
    names = names_of(listed)
    return [(one, names[one.pk]) for one in listed]


def names_of(grants: Iterable[Grant]) -> dict[int, str]:
    """What each grant is for, by its name of today, in two queries; empty when it was forgotten."""
    listed = list(grants)
    known: dict[str, dict[int, Any]] = {
        target: siblings.things(target, {one.object_id for one in listed if one.target == target})
        for target in (Target.HOST, Target.DOMAIN)
    }
    return {one.pk: one.tag or str(known.get(one.target, {}).get(one.object_id, "")) for one in listed}
