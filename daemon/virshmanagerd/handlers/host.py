"""`GET /v1/host`: what this hypervisor is."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from virshmanagerd import __version__, linux
from virshmanagerd.handlers.wellknown import API_VERSIONS
from virshmanagerd.web import Request, Response, json_response

if TYPE_CHECKING:
    from virshmanagerd.daemon import Daemon

FEATURES: Final = ("console", "events", "operations", "screenshot", "stats")


def get_host(daemon: Daemon, _request: Request) -> Response:
    """Answer 200 also while libvirt is down."""
    return json_response(describe(daemon))


def describe(daemon: Daemon) -> dict[str, object]:
    """Return the inventory. What libvirt does not say comes from the system."""
    facts = daemon.driver.host()
    if facts["memory"] is None:
        facts["cpus"] = linux.cpus()
        facts["memory"], facts["memory_free"] = linux.memory()
    return {
        **facts,
        "id": daemon.identity.id,
        "hostname": daemon.config.hostname or socket.gethostname(),
        "machine_id": daemon.identity.machine_id,
        "journal_id": daemon.journal_id,
        "boot_id": linux.boot_id(),
        "cpu_model": linux.cpu_model(),
        "load": linux.load(),
        "daemon_version": __version__,
        "api": API_VERSIONS,
        "features": FEATURES,
    }
