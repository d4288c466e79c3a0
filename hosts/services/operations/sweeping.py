"""The sweep: what no task was sent for, or whose task was lost, goes on all the same."""

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from ...choices import OperationState, TargetType
from ...models import Operation
from .accepting import wake_carriers
from .bulk import advance
from .carrying import forsake
from .holding import expire
from .moves import NEVER

S = OperationState
# Nothing is put off for longer by itself.
LONGEST_PUT_OFF: Final = timedelta(seconds=61)


def sweep() -> None:
    """Wake carriers for all hosts that have something due, and end what came too late. (Every second.)

    Costs four short queries when nothing is open.
    """
    now = timezone.now()
    _catch_up(now)
    overdue = Operation.objects.filter(state=S.ACCEPTED, sent_at=None, deadline__lte=now, due_at__lt=NEVER)
    for operation in overdue.exclude(target_type=TargetType.SELECTION):
        expire(operation)
    parents = Operation.objects.open().filter(target_type=TargetType.SELECTION)
    for parent_id in list(parents.values_list("pk", flat=True)):
        advance(parent_id)
    # All states are named for the sake of the index: verdicts that are to be acknowledged are due, too.
    due = Operation.objects.filter(state__in=S.values, due_at__lte=now).order_by()
    due = due.exclude(target_type=TargetType.SELECTION)
    of_hosts = due.filter(host__isnull=False).values_list("host_id", flat=True)
    wake_carriers(list(of_hosts.distinct()))
    for pk in list(due.filter(host=None).values_list("pk", flat=True)):
        forsake(pk)


def _catch_up(now: datetime) -> None:
    """Look at once at what is due much too late: the clock was set back since."""
    late = Operation.objects.filter(state__in=S.values, due_at__gt=now + LONGEST_PUT_OFF, due_at__lt=NEVER)
    late.exclude(target_type=TargetType.SELECTION).update(due_at=now)
