"""What is told by signals of rights: users, groups, who is in them, grants, and quotas."""

from collections.abc import Collection
from typing import Any, Final

from django.contrib.auth.models import Group, User
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver

from .. import siblings
from ..choices import Action, Role
from ..models import Grant, Quota
from .writing import Target, record, record_all, row

WATCHED: Final = ("username", "is_active", "is_staff", "is_superuser")
MEMBERSHIP: Final = {"post_add": Action.GROUP_JOIN, "post_remove": Action.GROUP_LEAVE}


@receiver(pre_save, sender=User, dispatch_uid="audit.user_before")
def about_to_save(*, instance: User, update_fields: Collection[str] | None = None, **_: Any) -> None:
    """A login saves its own moment alone, and costs no look."""
    if instance.pk and (update_fields is None or set(update_fields) & set(WATCHED)):
        before = User.objects.filter(pk=instance.pk).values(*WATCHED).first()
        instance._audited = before  # type: ignore[attr-defined]  # from here to `saved`


@receiver(post_save, sender=User, dispatch_uid="audit.user")
def saved(*, instance: User, created: bool, raw: bool = False, **_: Any) -> None:
    if raw:
        return
    if created:
        record(Action.USER_CREATE, instance, detail={"administrator": instance.is_superuser})
    before = instance.__dict__.pop("_audited", None) or {}
    changed = {name: getattr(instance, name) for name in before if before[name] != getattr(instance, name)}
    if changed:
        record(Action.USER_CHANGE, instance, detail=changed)


@receiver(post_delete, sender=User, dispatch_uid="audit.user_gone")
def deleted_user(*, instance: User, **_: Any) -> None:
    record(Action.USER_DELETE, instance)


@receiver(pre_save, sender=Group, dispatch_uid="audit.group_before")
def about_to_save_group(*, instance: Group, **_: Any) -> None:
    before = Group.objects.filter(pk=instance.pk).values_list("name", flat=True).first()
    instance._audited = before  # type: ignore[attr-defined]  # from here to `saved_group`


@receiver(post_save, sender=Group, dispatch_uid="audit.group")
def saved_group(*, instance: Group, created: bool, raw: bool = False, **_: Any) -> None:
    """A row of the new name; `was` is the old one."""
    before = instance.__dict__.pop("_audited", None)
    if not raw:
        renamed = {"was": before} if before and before != instance.name else {}
        record(Action.GROUP_CREATE if created else Action.GROUP_CHANGE, instance, detail=renamed)


@receiver(post_delete, sender=Group, dispatch_uid="audit.group_gone")
def deleted_group(*, instance: Group, **_: Any) -> None:
    record(Action.GROUP_DELETE, instance)


@receiver(m2m_changed, sender=User.groups.through, dispatch_uid="audit.members")
def changed_members(*, action: str, instance: User | Group, pk_set: Collection[int] | None, **_: Any) -> None:
    """A row for each user, who joined or left which group. Both ends of the relation say so.

    What is about to be cleared has no keys: they are looked up.
    """
    if action == "pre_clear":
        others = instance.groups if isinstance(instance, User) else instance.user_set
        pairs, word = _pairs(instance, others.all()), Action.GROUP_LEAVE
    elif action in MEMBERSHIP and pk_set:
        kind = Group if isinstance(instance, User) else User
        pairs, word = _pairs(instance, kind._default_manager.filter(pk__in=pk_set)), MEMBERSHIP[action]
    else:
        return
    record_all([row(word, user, detail={"group": group.name}) for user, group in pairs])


def _pairs(instance: User | Group, others: Any) -> list[tuple[User, Group]]:
    if isinstance(instance, User):
        return [(instance, group) for group in others]
    return [(user, instance) for user in others]


@receiver(post_save, sender=Grant, dispatch_uid="audit.grant")
def saved_grant(*, instance: Grant, created: bool, raw: bool = False, **_: Any) -> None:
    if not raw:
        _record_grant(Action.GRANT_CREATE if created else Action.GRANT_CHANGE, instance)


@receiver(pre_delete, sender=Grant, dispatch_uid="audit.grant_gone")
def revoked_grant(*, instance: Grant, **_: Any) -> None:
    """Before it is gone: after that its user may be, too."""
    _record_grant(Action.GRANT_REVOKE, instance)


def _record_grant(action: Action, grant: Grant) -> None:
    """Of the user or the group that has it; `on` is what it covers, `name` what that is called."""
    on = f"{grant.target} {grant.tag or grant.object_id or ''}".strip()
    detail = {"grant": grant.pk, "role": Role(grant.role).name.lower(), "on": on}
    if grant.object_id:
        found = siblings.things(grant.target, [grant.object_id]).get(grant.object_id)
        detail |= {"name": str(found)} if found else {}
    record(action, Target.of(grant.user or grant.group), detail=detail)


@receiver(post_save, sender=Quota, dispatch_uid="audit.quota")
def saved_quota(*, instance: Quota, raw: bool = False, **_: Any) -> None:
    if not raw:
        record(Action.QUOTA_SET, Target.of(instance.user or instance.group), detail=instance.limits)


@receiver(pre_delete, sender=Quota, dispatch_uid="audit.quota_gone")
def lifted_quota(*, instance: Quota, **_: Any) -> None:
    """Before it is gone, as of a grant."""
    record(Action.QUOTA_LIFT, Target.of(instance.user or instance.group))
