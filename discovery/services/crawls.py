"""The life of a crawl: asked for, begun, ended; and what becomes of one whose process died."""

import threading
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from access import audit
from access.choices import Action
from hosts.live import CRAWLS, FLEET, publish
from hosts.services import wake_worker

from ..choices import ACTIVE_STATES, ChunkState, CrawlState, Phase
from ..errors import CrawlRunning, RangeDisabled
from ..models import Chunk, Crawl, Range
from .summaries import counts
from .targets import chunks_of

# A crawl without a beat for so long has lost its process; a queued one was picked up by nobody.
LOST_AFTER = timedelta(seconds=15)
UNPICKED_AFTER = timedelta(seconds=60)
LOOK_SECONDS = 0.5
KEPT = {Phase.PROBE: 20}
KEPT_USUALLY = 100
# A second carrier stores while the first one's nmap runs; more are of use only where no cap holds nmap back.
CARRIERS_CAPPED, CARRIERS_UNCAPPED = 2, 4
CARRY_TASK = "discovery.tasks.carry"


def request_crawl(
    range_: Range,
    phase: str,
    *,
    port: int | None = None,
    max_rate: int | EllipsisType | None = ...,
    here: bool = False,
) -> Crawl:
    """Ask for a crawl. `port` and `max_rate` (None: no limit) default to those of the range.

    Workers carry it, unless the caller will (`here`). Raises RangeDisabled, and CrawlRunning when the same
    phase runs on the range: one whose process died does not count.
    """
    reap(Q(range=range_, phase=phase))
    rate = range_.max_rate if isinstance(max_rate, EllipsisType) else max_rate
    crawl = Crawl(range=range_, phase=phase, port=port or range_.port, max_rate=rate)
    if here:
        crawl.state, crawl.started_at = CrawlState.RUNNING, crawl.created_at
    chunks = list(chunks_of(crawl))
    crawl.total = sum(chunk.addresses for chunk in chunks)
    try:
        with transaction.atomic():
            # Who switches the range off waits for this, and then finds the crawl that is to be cancelled.
            if not Range.objects.enabled().select_for_update().filter(pk=range_.pk):
                raise RangeDisabled
            crawl.save()
            Chunk.objects.bulk_create(chunks)
            publish("crawl.changed", crawl.pk, CRAWLS)
    except IntegrityError:
        running = (
            Crawl.objects.active().filter(range=range_, phase=phase).values_list("pk", flat=True).first()
        )
        raise CrawlRunning(running) from None
    if not here:
        transaction.on_commit(lambda: _call_carriers(crawl, len(chunks)))
    return crawl


def start_by_hand(range_: Range, phase: str, **how: Any) -> Crawl:
    """As `request_crawl`, for a person: recorded, also when it is refused."""
    with audit.deed(Action.CRAWL_START, range_, detail={"phase": phase}) as doing:
        crawl = request_crawl(range_, phase, **how)
        doing.detail["crawl"] = crawl.pk
    return crawl


def cancel_by_hand(crawl: Crawl) -> bool:
    """As `cancel`, for a person: recorded, if there was something to cancel."""
    with transaction.atomic():
        if ended := cancel(crawl):
            audit.record(Action.CRAWL_CANCEL, crawl)
    return ended


def _call_carriers(crawl: Crawl, chunks: int) -> None:
    """Wake workers. One that is not woken is no loss: the crawl fails after a minute, and says why."""
    most = CARRIERS_UNCAPPED if crawl.max_rate is None else CARRIERS_CAPPED
    for _carrier in range(max(1, min(chunks, most))):
        if not wake_worker(CARRY_TASK, crawl.pk, expires=UNPICKED_AFTER.total_seconds()):
            return


def begin(crawl: Crawl) -> bool:
    """Mark the crawl as running. False when it ended before it began."""
    now = timezone.now()
    begun = Crawl.objects.filter(pk=crawl.pk, state=CrawlState.QUEUED).update(
        state=CrawlState.RUNNING, started_at=now, beat_at=now
    )
    if begun:
        publish("crawl.changed", crawl.pk, CRAWLS)
    return beat(crawl)


def beat(crawl: Crawl) -> bool:
    """Say that somebody carries the crawl, or waits to. False when it was ended by others meanwhile."""
    return bool(Crawl.objects.active().filter(pk=crawl.pk).update(beat_at=timezone.now()))


def claim_chunk(crawl: Crawl) -> Chunk | None:
    """Take a chunk that nobody has; None when there is none left."""
    while True:
        chunk = crawl.chunks.filter(state=ChunkState.WAITING).first()
        if chunk is None:
            return None
        # Two workers may see the same chunk waiting: the one whose update counts has it.
        if Chunk.objects.filter(pk=chunk.pk, state=ChunkState.WAITING).update(state=ChunkState.RUNNING):
            return chunk


def finish(crawl: Crawl) -> None:
    """End the crawl well, if all of its chunks are done. The carrier of the last one finds that they are."""
    if not crawl.chunks.exclude(state=ChunkState.DONE).exists():
        end(crawl, CrawlState.SUCCEEDED)


def cancel(crawl: Crawl) -> bool:
    """Cancel the crawl; what it found is kept. False when it had ended already."""
    return end(crawl, CrawlState.CANCELLED)


def fail(crawl: Crawl, problem: str, detail: str) -> bool:
    """End the crawl with a problem: a stable word, and what happened in plain words."""
    title = problem.replace("_", " ").capitalize()
    return end(crawl, CrawlState.FAILED, {"type": problem, "title": title, "detail": detail})


def end(crawl: Crawl, state: CrawlState, problem: dict[str, Any] | None = None) -> bool:
    """End an active crawl: exactly one caller does, and gets True."""
    with transaction.atomic():
        ended = (
            Crawl.objects.active()
            .filter(pk=crawl.pk)
            .update(state=state, problem=problem, finished_at=timezone.now(), counts=counts(crawl.range))
        )
        if ended:
            crawl.chunks.all().delete()
            _prune(crawl)
            publish("crawl.changed", crawl.pk, CRAWLS, FLEET)
    return bool(ended)


def _prune(crawl: Crawl) -> None:
    """A probe every 15 seconds must not fill the disk."""
    siblings = Crawl.objects.filter(range=crawl.range_id, phase=crawl.phase)
    kept = KEPT.get(Phase(crawl.phase), KEPT_USUALLY)
    oldest = siblings.values_list("pk", flat=True)[kept : kept + 1].first()
    if oldest is not None:
        siblings.filter(pk__lte=oldest).exclude(state__in=ACTIVE_STATES).delete()


def wait_if_lost(crawl_id: int) -> bool:
    """Wait while a running crawl shows no sign of life. True once it is over, False when it shows one."""
    running = Crawl.objects.filter(pk=crawl_id, state=CrawlState.RUNNING).values_list("beat_at", flat=True)
    first = running.first()
    pause = threading.Event()
    while first is not None and running.first() == first:
        pause.wait(LOOK_SECONDS)
        reap(Q(pk=crawl_id))
    return not Crawl.objects.active().filter(pk=crawl_id).exists()


def reap(which: Q = Q(), now: datetime | None = None) -> int:  # noqa: B008 -- Q() is never changed
    """Fail the crawls whose process died, and those that no worker took. Returns how many."""
    now = now or timezone.now()
    lost = Crawl.objects.filter(which, state=CrawlState.RUNNING, beat_at__lt=now - LOST_AFTER)
    unpicked = Crawl.objects.filter(which, state=CrawlState.QUEUED, beat_at__lt=now - UNPICKED_AFTER)
    reaped = 0
    for crawl in lost.select_related("range"):
        reaped += fail(
            crawl, "process_lost", _("The process that carried it ended. What it had found is kept.")
        )
    for crawl in unpicked.select_related("range"):
        reaped += fail(crawl, "not_picked_up", _("No worker took it within a minute. Check that one runs."))
    return reaped
