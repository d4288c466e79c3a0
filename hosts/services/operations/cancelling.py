"""Cancelling an operation: at once while its daemon cannot know of it, else by asking the daemon."""

from functools import partial
from typing import Final

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _

from access import audit
from access.choices import Action
from access.permissions import rights_of
from access.verbs import needed

from ...choices import OperationState, TargetType
from ...errors import NotPossible
from ...models import Operation
from .accepting import wake_carriers
from .auditing import target_of
from .bulk import advance
from .holding import note
from .settling import end, problem

S = OperationState
# What a daemon that has begun can still leave off. Everything can be cancelled before it begins.
STOPPABLE: Final = frozenset({"save", "shutdown"})


def cancel(operation: Operation, *, actor: User) -> Operation:
    """Cancel an operation, or ask its daemon to; return it as it is then.

    Of a bulk operation what has not begun is cancelled; the rest goes on.

    Raises:
        PermissionDenied: when `actor` may not ask for the same verb, on each domain that it is about.
        NotPossible: when it has ended, or its verb cannot be cancelled any more.
    """
    if not may_cancel(operation, actor):
        raise PermissionDenied
    told = _told(operation)
    with audit.refusals(Action.OPERATION_CANCEL, target_of(operation), actor=actor, detail=told):
        if operation.target_type == TargetType.SELECTION:
            _cancel_selection(operation, actor)
        elif not _cancel_unsent(operation, actor):
            _ask_daemon(operation, actor)
    return Operation.objects.select_related("host").get(pk=operation.pk)


def is_cancellable(operation: Operation) -> bool:
    """Whether to offer it; the host may still say no."""
    if not operation.is_open or operation.cancel_asked_at:
        return False
    return operation.state != S.RUNNING or operation.verb in STOPPABLE or not operation.host_id


def may_cancel(operation: Operation, user: User) -> bool:
    """Whether a user may ask for this verb on everything that the operation is about."""
    rights, role = rights_of(user), needed(operation.verb)
    if rights.everywhere(role):
        return True
    parts = Operation.objects.filter(Q(pk=operation.pk) | Q(parent=operation.pk))
    return not parts.exclude(pk__in=parts.granted(rights, role).values("pk")).exists()


def _cancel_unsent(operation: Operation, actor: User) -> bool:
    unsent = Q(state=S.ACCEPTED, sent_at=None)
    with transaction.atomic():
        if ended := end(operation, S.CANCELLED, where=unsent, problem=problem("cancelled")):
            _note(operation, actor)
    return ended


def _ask_daemon(operation: Operation, actor: User) -> None:
    rows = Operation.objects.open().filter(pk=operation.pk)
    possible = rows if operation.verb in STOPPABLE else rows.exclude(state=S.RUNNING)
    # What the daemon has for certain may be asked about at any time; else a carrier may be sending it now.
    due_at = Case(When(state__in=[S.SENT, S.RUNNING], then=Value(timezone.now())), default=F("due_at"))
    with transaction.atomic():
        if not possible.update(cancel_asked_at=timezone.now(), due_at=due_at):
            raise NotPossible("not_cancellable" if rows.exists() else "operation_ended")
        _note(operation, actor)
        if operation.host_id:
            transaction.on_commit(partial(wake_carriers, [operation.host_id]))


def _cancel_selection(parent: Operation, actor: User) -> None:
    with transaction.atomic():
        if not Operation.objects.open().filter(pk=parent.pk).update(cancel_asked_at=timezone.now()):
            raise NotPossible("operation_ended")
        _note(parent, actor)
    advance(parent.pk)


def _note(operation: Operation, actor: User) -> None:
    operation.refresh_from_db(fields=["state"])
    audit.record(Action.OPERATION_CANCEL, target_of(operation), actor=actor, detail=_told(operation))
    note(operation, _("%(name)s cancelled it.") % {"name": actor.get_username()})


def _told(operation: Operation) -> dict[str, str]:
    """What the audit is told of it."""
    return {"operation": str(operation.pk), "verb": operation.verb}
