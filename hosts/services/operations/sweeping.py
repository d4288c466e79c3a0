"""The sweep: what no task was sent for, or whose task was lost, goes on all the same."""

from django.utils import timezone

from ...choices import OperationState, TargetType
from ...models import Operation
from .accepting import wake_carrier
from .bulk import advance
from .carrying import forsake
from .holding import expire
from .moves import NEVER

S = OperationState


def sweep() -> None:
    """Wake carriers for all hosts that have something due, and end what came too late. (Every second.)

    Costs three short queries when nothing is open.
    """
    now = timezone.now()
    overdue = Operation.objects.filter(state=S.ACCEPTED, sent_at=None, deadline__lte=now, due_at__lt=NEVER)
    for operation in overdue.exclude(target_type=TargetType.SELECTION):
        expire(operation)
    parents = Operation.objects.open().filter(target_type=TargetType.SELECTION)
    for parent_id in list(parents.values_list("pk", flat=True)):
        advance(parent_id)
    # All states are named for the sake of the index: verdicts that are to be acknowledged are due, too.
    due = Operation.objects.filter(state__in=S.values, due_at__lte=now).order_by()
    due = due.exclude(target_type=TargetType.SELECTION)
    for host_id in list(due.values_list("host_id", flat=True).distinct()):
        if host_id is not None:
            wake_carrier(host_id)
    for pk in list(due.filter(host=None).values_list("pk", flat=True)):
        forsake(pk)
