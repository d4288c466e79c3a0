"""The gunicorn master: it holds the port, and replaces a worker that has ended."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

if TYPE_CHECKING:
    from collections.abc import Callable

    from virshmanagerd.config import Config

# A worker whose loop stands still for so long is killed; one asked to end gets the second figure.
STUCK_SECONDS = 30
STOP_SECONDS = 4
# A worker that ended within the first figure after its start is replaced ever later, up to the second.
SOON_SECONDS = 60
LONGEST_WAIT = 30


class Backoff:
    """How long a new worker waits before it begins: a defect met at each start must not eat a core.

    The first replacement begins at once, the next after 1, 2, 4 ... seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: float | None = None
        self._failures = 0

    def wait(self) -> int:
        """Count the start of a worker; return the seconds that it shall wait."""
        now = self._clock()
        soon = self._started is not None and now - self._started < SOON_SECONDS
        self._failures = self._failures + 1 if soon else 0
        self._started = now
        return min(LONGEST_WAIT, (1 << min(self._failures, 9)) >> 2)


class Master(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker of our class. It has no WSGI application of its own."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._backoff = Backoff()
        super().__init__(prog="virshmanagerd")

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        address = f"[{self.config.listen}]" if ":" in self.config.listen else self.config.listen
        settings: dict[str, Any] = {
            "bind": f"{address}:{self.config.port}",
            "worker_class": "virshmanagerd.worker.DaemonWorker",
            "workers": 1,
            "timeout": STUCK_SECONDS,
            "graceful_timeout": STOP_SECONDS,
            "proc_name": "virshmanagerd",
            "control_socket_disable": True,
            "loglevel": "warning",
            "pre_fork": lambda _arbiter, worker: setattr(worker, "wait_seconds", self._backoff.wait()),
        }
        for name, value in settings.items():
            if name in self.cfg.settings:  # control_socket_disable is younger than what we ask for
                self.cfg.set(name, value)

    def load(self) -> None:
        """Return nothing: the worker makes its daemon itself."""


def serve(config: Config) -> None:
    """Run until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    Master(config).run()
