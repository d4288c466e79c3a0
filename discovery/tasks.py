"""What workers do for discovery: ask for what is due, and carry crawls."""

import threading
from typing import Any

from celery import Task, shared_task
from celery.signals import worker_shutting_down

from . import services
from .choices import Phase
from .models import Crawl

# Scans wait for nmap and for each other's lease: some threads of the pool are kept free for probes.
SCANS_AT_ONCE = 4
TURN_SECONDS = 2
EXPIRES_SECONDS = 60

_scans = threading.BoundedSemaphore(SCANS_AT_ONCE)
_stopping = threading.Event()


@worker_shutting_down.connect
def stop_carrying(**_signal: object) -> None:
    """A worker that stops gives its crawls up at once; what they found is kept."""
    _stopping.set()


@shared_task
def dispatch() -> None:
    """Fail the crawls whose process died, and ask for those that are due. (Every few seconds, by beat.)"""
    services.reap()
    services.request_due()


@shared_task(bind=True, max_retries=None)
def carry(self: "Task[..., Any]", crawl_id: int) -> None:
    """Carry a crawl, or the part of it that is left."""
    crawl = Crawl.objects.select_related("range").filter(pk=crawl_id).first()
    if crawl is None or not services.beat(crawl):
        return
    if crawl.phase == Phase.PROBE:
        services.carry(crawl, stop=_stopping)
    elif _scans.acquire(blocking=False):
        try:
            services.carry(crawl, stop=_stopping)
        finally:
            _scans.release()
    else:
        raise self.retry(countdown=TURN_SECONDS, expires=EXPIRES_SECONDS)
