"""What is due: each phase of each enabled range has its period, the first one after the range was made."""

import random
from datetime import datetime, timedelta

from django.db.models import Max
from django.utils import timezone

from ..choices import Phase
from ..errors import NoCrawl
from ..models import Crawl, Range
from .crawls import request_crawl

# Ranges made together would crawl together for ever: longer periods are stretched by up to a tenth.
JITTER = 0.1
SHORTEST_STRETCHED = 60
# A tick that comes a moment early must not make a period one tick longer.
GRACE = timedelta(seconds=0.5)


def due_at(range_: Range, phase: str, last: datetime | None) -> datetime | None:
    """Return when `phase` of `range_` is due, given when it last was asked for; None: never by itself."""
    period = range_.schedule.get(phase)
    if period is None:
        return None
    base = last or range_.created_at
    stretch = 0.0
    if period >= SHORTEST_STRETCHED:
        stretch = period * JITTER * random.Random(f"{range_.pk}-{phase}-{base.timestamp()}").random()  # noqa: S311
    return base + timedelta(seconds=period + stretch)


def request_due(now: datetime | None = None) -> list[Crawl]:
    """Ask for every crawl that is due. A phase that still runs is due again after it."""
    now = now or timezone.now()
    rows = Crawl.objects.order_by().values_list("range", "phase").annotate(last=Max("created_at"))
    last = {(range_id, phase): asked for range_id, phase, asked in rows}
    requested = []
    for range_ in Range.objects.enabled():
        for phase in Phase.values:
            due = due_at(range_, phase, last.get((range_.pk, phase)))
            if due is not None and due - GRACE <= now:
                try:
                    requested.append(request_crawl(range_, phase))
                except NoCrawl:
                    # It runs still, or the range was switched off a moment ago.
                    continue
    return requested
