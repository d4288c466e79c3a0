"""Celery's beat, on a clock that may be set back."""

import math
import time
from typing import Any

from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler


class Scheduler(DatabaseScheduler):  # type: ignore[misc]
    """The schedule in the database.

    Celery waits until the time of day is past a task's last run. When the clock was set back by an hour,
    nothing would run for that hour; here each task runs once more within its period.
    """

    _last_tick_at = math.inf

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Run a task that is due; return the seconds until the next one is."""
        now = time.time()
        if now < self._last_tick_at:
            for entry in self.schedule.values():
                entry.last_run_at = min(entry.last_run_at, timezone.now())
            self._heap = None
        self._last_tick_at = now
        return float(super().tick(*args, **kwargs))
