"""Who may do what: the one place that decides. Everything else asks it.

A user has roles at *places*: everything, a tag, a host, a domain. An object tells by `places()` where it is,
as a domain is at itself, at its host and at each of its tags; the highest role at any of them counts, and
`verbs.NEEDED` says which role a verb needs. What was granted is read in one query for each request, however
many grants, and then decides in memory about every row of a list; querysets ask the same table by `keys()`.

Our own table of grants, and not django-guardian's object permissions: those know neither a tag, which is no
row, nor that a host covers its domains, nor an order of roles; they keep keys as text, so that a list of
domains would cost three unions with casts. Django's superusers may do everything: no grant takes that.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from .choices import Role, Target
from .models import Grant, Place
from .scopes import verb_of
from .verbs import needed

if TYPE_CHECKING:  # the module of views loads this one, by the settings
    from rest_framework.views import APIView

EVERYTHING: Final = Place(Target.EVERYTHING)
View = TypeVar("View", bound=Callable[..., object])


class Granted(Protocol):
    """What roles can be granted on."""

    def places(self) -> Iterable[Place]:
        """Where it is: a role at any of these is a role on it. Everything need not be among them."""


@dataclass(frozen=True)
class Rights:
    """The roles of a user, by place. False when there is none."""

    user: User | None = None
    roles: Mapping[Place, Role] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.roles)

    def everywhere(self, role: Role) -> bool:
        """Whether it is had on everything."""
        return self.roles.get(EVERYTHING, 0) >= role

    def anywhere(self, role: Role) -> bool:
        """Whether it is had on anything at all."""
        return any(held >= role for held in self.roles.values())

    def allow(self, verb: str, thing: Granted | None = None) -> bool:
        """Whether `verb` may be done to `thing`; without one, to everything."""
        role = needed(verb)
        return self.everywhere(role) or (
            thing is not None and any(self.roles.get(place, 0) >= role for place in thing.places())
        )

    def keys(self, target: Target, role: Role) -> QuerySet[Grant, int] | list[int]:
        """The ids of all hosts, or all domains, on which a role was granted, for a query."""
        if self.user is None or not any(place.target == target for place in self.roles):
            return []
        of_target = Grant.objects.of(self.user).at_least(role).filter(target=target)
        return of_target.order_by().values_list("object_id", flat=True)

    def tags(self, role: Role) -> list[str]:
        """The tags on whose domains a role was granted."""
        return [place.tag for place, held in self.roles.items() if place.tag and held >= role]

    @property
    def administers(self) -> bool:
        return self.everywhere(Role.ADMINISTRATOR)

    @property
    def operates(self) -> bool:
        """Whether there is anything to operate."""
        return self.anywhere(Role.OPERATOR)


NOTHING: Final = Rights()


def rights_of(user: AbstractBaseUser | AnonymousUser) -> Rights:
    """What a user may do. Read once for each object of a user, which lives as long as a request."""
    known: Rights | None = getattr(user, "_rights", None)
    if known is None:
        known = read_rights([user])[user.pk] if isinstance(user, User) else NOTHING
        user._rights = known  # type: ignore[union-attr]  # as Django keeps its permissions
    return known


def read_rights(users: Collection[User]) -> dict[int, Rights]:
    """What each of these users, by his id, may do now: in one query, however many they are."""
    active = [user for user in users if user.is_active]
    roles: dict[int, dict[Place, Role]] = {user.pk: {} for user in users}
    roles |= {user.pk: {EVERYTHING: Role.ADMINISTRATOR} for user in active if user.is_superuser}
    for grant in _granted([user for user in active if not user.is_superuser]):
        roles[grant.holder][grant.place] = Role(grant.role)  # type: ignore[attr-defined]  # annotated there
    return {user.pk: Rights(user, roles[user.pk]) for user in users}


def _granted(users: list[User]) -> Iterable[Grant]:
    """Their grants, the greatest last. One of a group comes once for each of them who is a member."""
    if not users:
        return []  # to make a query takes a good part of a request, also one that is never sent
    held = Grant.objects.of(*users).annotate(holder=Coalesce("user", "group__user"))
    return held.filter(holder__in=[user.pk for user in users]).order_by("role")


def is_administrator(user: AbstractBaseUser | AnonymousUser) -> bool:
    return rights_of(user).administers


def may(user: AbstractBaseUser | AnonymousUser, verb: str, thing: Granted | None = None) -> bool:
    return rights_of(user).allow(verb, thing)


def demand(user: AbstractBaseUser | AnonymousUser, verb: str, thing: Granted | None = None) -> None:
    """Raise PermissionDenied unless a user may do this to that; without `thing`, to everything."""
    if not may(user, verb, thing):
        raise PermissionDenied


def caller(request: HttpRequest) -> User:
    """Return who asks, of a request that passed the permission check."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def open_to_grants(view: View) -> View:
    """Open a page to everybody who was granted anything: it finds by `visible_to`, and refuses by `demand`.

    Any other page needs an administrator.
    """
    view.open_to_grants = True  # type: ignore[attr-defined]  # read by the middleware
    return view


class IsAdministrator(BasePermission):
    """Lets administrators in, and nobody else. For pages and sockets see `is_administrator`."""

    def has_permission(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 -- DRF's signature
        return is_administrator(request.user)


class HasGrants(BasePermission):
    """Lets everybody in who was granted anything: for what is his own."""

    def has_permission(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 -- DRF's signature
        return bool(rights_of(request.user))


class ByGrant(HasGrants):
    """Lets look at what the view finds, which is what the caller may see, and asks of each act by its name.

    An act is named as its method, or by `verbs` of the view. One on no object needs its role on everything.
    What is in `judged` the view asks about itself, since there is more than one object to ask about.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not super().has_permission(request, view):
            return False
        if request.method in SAFE_METHODS or getattr(view, "detail", False) or _is_judged(view):
            return True
        return may(request.user, verb_of(view))

    def has_object_permission(self, request: Request, view: "APIView", obj: Granted) -> bool:
        if request.method in SAFE_METHODS or _is_judged(view):
            return True
        return may(request.user, verb_of(view), obj)


def _is_judged(view: "APIView") -> bool:
    return getattr(view, "action", None) in getattr(view, "judged", ())
