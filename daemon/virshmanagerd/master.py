"""The gunicorn master: it holds the port, and replaces a worker that has ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

if TYPE_CHECKING:
    from virshmanagerd.config import Config

# A worker whose loop stands still for so long is killed; one asked to end gets the second figure.
STUCK_SECONDS = 30
STOP_SECONDS = 4


class Master(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker of our class. It has no WSGI application of its own."""

    def __init__(self, config: Config) -> None:
        self.config = config
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
