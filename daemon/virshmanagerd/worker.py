"""The worker process under gunicorn's master: one daemon on one engine.

The master stays small: it binds the port, and starts a fresh worker when one ends. So everything
large is imported here only after the fork.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

if TYPE_CHECKING:
    from types import FrameType

    from virshmanagerd.daemon import Daemon
    from virshmanagerd.engine import Engine


class DaemonWorker(Worker):  # type: ignore[misc]
    """Runs the engine instead of a WSGI server of gunicorn's."""

    engine: Engine
    daemon: Daemon
    wait_seconds = 0  # set by the master before the fork

    def load_wsgi(self) -> None:
        """Make the daemon. What stops it is one line in the log, and the end of the master."""
        self._wait()
        from virshmanagerd.daemon import Daemon
        from virshmanagerd.driver import Driver
        from virshmanagerd.engine import Engine
        from virshmanagerd.identity import IdentityError
        from virshmanagerd.ownership import OwnershipError

        config = self.app.config
        try:
            self.daemon = Daemon(config, Driver(config.uri))
        except (IdentityError, OwnershipError) as error:
            self.log.error("virshmanagerd cannot start: %s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        self.engine = Engine()
        self.log.info("this host is %s, %s", self.daemon.identity.id, self.daemon.ownership.state)

    def _wait(self) -> None:
        if self.wait_seconds:
            self.log.warning("a worker ended soon after its start: the next waits %s s", self.wait_seconds)
        until = time.monotonic() + self.wait_seconds
        while self.alive and self.ppid == os.getppid() and time.monotonic() < until:
            self.notify()
            time.sleep(0.1)
        if not self.alive:
            sys.exit(0)

    def run(self) -> None:
        """Serve until the master says stop."""
        self.daemon.driver.start()
        for listener in self.sockets:
            self.engine.add(self.daemon, listener.sock)
        self.engine.run(self._tick)
        self.daemon.driver.stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> Any:
        """End gracefully (SIGTERM)."""
        super().handle_exit(sig, frame)
        if hasattr(self, "engine"):
            self.engine.stop()

    def _tick(self) -> None:
        self.notify()
        if self.ppid != os.getppid():
            self.log.warning("the master has gone: this worker ends")
            self.engine.stop()
