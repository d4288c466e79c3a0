"""Who may do what. Until roles exist, every route needs an administrator."""

from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # the module of views loads this one, by the settings
    from rest_framework.views import APIView


def is_administrator(user: AbstractBaseUser | AnonymousUser) -> bool:
    return bool(user.is_authenticated and user.is_active and getattr(user, "is_superuser", False))


def caller(request: HttpRequest) -> User:
    """Return who asks, of a request that passed the permission check."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


class IsAdministrator(BasePermission):
    """Lets administrators in, and nobody else. For pages and sockets see `is_administrator`."""

    def has_permission(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 -- DRF's signature
        return is_administrator(request.user)
