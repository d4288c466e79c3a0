"""Telling daemons which of their verdicts are stored here, so that they may forget them."""

from datetime import timedelta
from typing import Final

from django.utils import timezone

from ...agent import MOST_ACKNOWLEDGED, agent_of
from ...errors import AgentError, GivenUp, ProblemAnswer
from ...models import Host, Operation
from .moves import NEVER

ACKNOWLEDGE_PAUSE: Final = timedelta(seconds=60)


def acknowledge(host: Host) -> None:
    """Tell the daemon which of its verdicts are stored here, so that it may forget them."""
    rows = Operation.objects.ended().filter(host=host, due_at__lte=timezone.now())
    while ids := list(rows.values_list("pk", flat=True)[:MOST_ACKNOWLEDGED]):
        batch = Operation.objects.filter(pk__in=ids)
        try:
            agent_of(host, insist=True).acknowledge(ids)
        except (GivenUp, ProblemAnswer):
            # It is ours no more, or does not want to know.
            batch.update(due_at=NEVER)
        except AgentError:
            batch.update(due_at=timezone.now() + ACKNOWLEDGE_PAUSE)
            return
        else:
            batch.update(due_at=NEVER, acknowledged=True)
