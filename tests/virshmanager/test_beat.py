"""The beat: what is on the schedule runs, whatever happens to the clock."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from virshmanager.beat import Scheduler
from virshmanager.celery import app

# The scheduler closes connections.
pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)


class Noting(Scheduler):
    """Notes what it runs, instead of sending it."""

    def __init__(self) -> None:
        self.ran: set[str] = set()
        super().__init__(app, lazy=False)
        self._finalize.cancel()  # it would write at the end of the process, when there is no database

    def apply_entry(self, entry: Any, producer: object = None) -> None:
        self.ran.add(entry.name)


def all_are_due_within_their_period(scheduler: Noting) -> bool:
    ours = [scheduler.schedule[name] for name in app.conf.beat_schedule]
    return all(scheduler.is_due(entry).next <= entry.schedule.seconds for entry in ours)


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    scheduler = Noting()
    scheduler.tick()
    # It was an hour ahead until now.
    for entry in scheduler.schedule.values():
        entry.last_run_at += HOUR
    scheduler._last_tick_at += HOUR.total_seconds()
    assert not all_are_due_within_their_period(scheduler)
    scheduler.tick()
    assert all_are_due_within_their_period(scheduler)
    # What comes next is found by the time of day, too.
    for entry in scheduler.schedule.values():
        entry.last_run_at -= HOUR
    scheduler._last_tick_at += HOUR.total_seconds()
    for _ in range(2 * len(scheduler.schedule)):
        scheduler.tick()
    assert scheduler.ran >= set(app.conf.beat_schedule)


def test_a_new_beat_does_not_wait_for_a_last_run_in_the_future() -> None:
    Noting()
    PeriodicTask.objects.update(last_run_at=timezone.now() + HOUR)
    scheduler = Noting()
    scheduler.tick()
    assert all_are_due_within_their_period(scheduler)
