"""What others tell by signals: logins, passwords, factors, tokens, and what is done in the admin."""

import json
from typing import Any

from allauth.account.signals import password_changed, password_set
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from ..choices import Action, Result
from ..models import ApiToken
from .origins import Actor, of_request
from .writing import Target, record

IN_THE_ADMIN = {
    ADDITION: Action.ADMIN_ADD,
    CHANGE: Action.ADMIN_CHANGE,
    DELETION: Action.ADMIN_DELETE,
}


@receiver(user_logged_in, dispatch_uid="audit.login")
def logged_in(*, user: User, request: HttpRequest, **_: Any) -> None:
    record(Action.LOGIN, user, actor=user, by=of_request(request))


@receiver(user_login_failed, dispatch_uid="audit.login_fail")
def login_failed(*, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """The name only of one who exists: people type their password into the wrong field."""
    user = User.objects.filter(username=credentials.get("username") or "").first()
    target = user or Target("user")
    by = of_request(request) if request else None
    record(Action.LOGIN_FAIL, target, result=Result.REFUSED, problem="wrong_password", by=by)


@receiver(authentication_failed, dispatch_uid="audit.factor_fail")
def second_factor_failed(*, user: User, request: HttpRequest, **_: Any) -> None:
    by = of_request(request)
    record(Action.LOGIN_FAIL, user, result=Result.REFUSED, problem="wrong_second_factor", by=by)


@receiver(user_logged_out, dispatch_uid="audit.logout")
def logged_out(*, user: User | None, request: HttpRequest, **_: Any) -> None:
    """Of a session that had ended already nobody is logged out."""
    if user is not None:
        record(Action.LOGOUT, user, actor=user, by=of_request(request))


@receiver([password_changed, password_set], dispatch_uid="audit.password")
def changed_password(*, user: User, **_: Any) -> None:
    record(Action.PASSWORD_CHANGE, user)


@receiver(post_save, sender=Authenticator, dispatch_uid="audit.factor")
def added_factor(*, instance: Authenticator, created: bool, **_: Any) -> None:
    if created:
        record(Action.FACTOR_ADD, _owner_of(instance), detail={"factor": str(instance.type)})


@receiver(post_delete, sender=Authenticator, dispatch_uid="audit.factor_gone")
def removed_factor(*, instance: Authenticator, **_: Any) -> None:
    record(Action.FACTOR_REMOVE, _owner_of(instance), detail={"factor": str(instance.type)})


def _owner_of(factor: Authenticator) -> User:
    user: User = factor.user
    return user


@receiver(post_save, sender=ApiToken, dispatch_uid="audit.token")
def made_token(*, instance: ApiToken, created: bool, **_: Any) -> None:
    if created:
        expiry = instance.expiry.isoformat(timespec="seconds") if instance.expiry else None
        told = {"user": instance.user.get_username(), "scope": instance.scope, "expiry": expiry}
        record(Action.TOKEN_CREATE, instance, detail=told)


@receiver(post_delete, sender=ApiToken, dispatch_uid="audit.token_gone")
def revoked_token(*, instance: ApiToken, **_: Any) -> None:
    record(Action.TOKEN_REVOKE, instance, detail={"user": instance.user.get_username()})


@receiver(post_save, sender=LogEntry, dispatch_uid="audit.admin")
def acted_in_the_admin(*, instance: LogEntry, **_: Any) -> None:
    """The admin says which fields were changed, and not to what."""
    kind = instance.content_type.model if instance.content_type else ""
    target = Target(kind, instance.object_id or "", instance.object_repr)
    user = instance.user
    record(IN_THE_ADMIN[instance.action_flag], target, actor=Actor.of(user), detail=_changed(instance))


def _changed(entry: LogEntry) -> dict[str, list[str]]:
    try:
        said = json.loads(entry.change_message or "[]")
        return {"fields": [field for part in said for field in part.get("changed", {}).get("fields", [])]}
    except (ValueError, AttributeError, TypeError):
        return {}
