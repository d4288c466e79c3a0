"""Beat and workers: what is due is asked for, and carried by a real worker."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from celery.contrib.testing.worker import start_worker
from django.utils import timezone
from redis import Redis

from discovery import services, tasks
from discovery.choices import CrawlState, Phase
from discovery.models import Address, Crawl, Range
from virshmanager.celery import app

from .conftest import wait_until

MakeRange = Callable[..., Range]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(redis_server: Redis) -> Iterator[None]:
    how = {"pool": "threads", "concurrency": 4, "perform_ping_check": False, "shutdown_timeout": 20}
    # It sets the level of the root logger, for all tests after it as well.
    with start_worker(app, loglevel=logging.getLogger().level, **how):
        yield


def has_ended(crawl: Crawl) -> bool:
    crawl.refresh_from_db()
    return crawl.finished_at is not None


def test_workers_carry_what_the_api_asks_for(make_range: MakeRange, worker: None) -> None:
    crawl = services.request_crawl(make_range("127.0.64.0/18"), Phase.FULL)
    assert crawl.state == CrawlState.QUEUED
    wait_until(lambda: has_ended(crawl), "a worker carries it", 40)
    assert crawl.state == CrawlState.SUCCEEDED
    assert crawl.done == Address.objects.count() == 16384


def test_dispatch_asks_for_what_is_due_and_fails_what_is_dead(make_range: MakeRange, worker: None) -> None:
    never = dict.fromkeys(Phase.values)
    dead = services.request_crawl(make_range("127.0.78.0/28"), Phase.FULL, here=True)
    Crawl.objects.filter(pk=dead.pk).update(beat_at=timezone.now() - timedelta(seconds=20))
    due = make_range(schedule=never | {"full": 60})
    Range.objects.filter(pk=due.pk).update(created_at=timezone.now() - timedelta(seconds=70))
    tasks.dispatch()
    assert has_ended(dead)
    assert dead.state == CrawlState.FAILED
    crawl = due.crawls.get()
    wait_until(lambda: has_ended(crawl), "a worker carries it", 30)
    assert crawl.state == CrawlState.SUCCEEDED


def test_a_crawl_that_was_cancelled_while_it_waited_is_not_begun(make_range: MakeRange) -> None:
    crawl = services.request_crawl(make_range(), Phase.FULL)
    services.cancel(crawl)
    tasks.carry(crawl.pk)
    tasks.carry(0)
    crawl.refresh_from_db()
    assert (crawl.state, crawl.started_at) == (CrawlState.CANCELLED, None)


def test_beat_asks_every_few_seconds() -> None:
    entry = app.conf.beat_schedule["crawls"]
    assert (entry["task"], entry["schedule"]) == (tasks.dispatch.name, 5.0)
