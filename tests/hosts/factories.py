"""Facts as daemons tell them, and hosts that were made without one."""

from typing import Any
from uuid import UUID, uuid4

from hosts.models import Host


def told_host(host_id: UUID | str, **more: Any) -> dict[str, Any]:
    """A `GET /v1/host` as a well daemon answers it."""
    return {
        "id": str(host_id),
        "hostname": "hv-01",
        "uuid": None,
        "machine_id": "ab" * 32,
        "boot_id": "1",
        "libvirt": {
            "uri": "test:///default",
            "alive": True,
            "version": "9.0.0",
            "hypervisor": "TEST",
            "hypervisor_version": "0.0.2",
            "error": None,
        },
        "cpus": 4,
        "cpu_model": "i686",
        "memory": 2**33,
        "memory_free": 2**32,
        "load": [0.5, 0.25, 0.125],
        "daemon_version": "0.1.0",
        "api": ["1"],
        "features": ["screenshot", "stats"],
        "event_epoch": "1",
        "journal_id": "1",
    } | more


def told_domain(**more: Any) -> dict[str, Any]:
    """One domain of a listing."""
    return {
        "uuid": str(uuid4()),
        "name": "web-1",
        "id": 1,
        "state": "running",
        "reason": "booted",
        "vcpus": 2,
        "memory": 2**30,
        "max_memory": 2**31,
        "persistent": True,
        "autostart": False,
        "has_managed_save": False,
        "title": None,
        "metadata": {"description": None, "tags": ["web"]},
    } | more


def a_host(**more: Any) -> Host:
    """A stored host, owned unless told otherwise."""
    values: dict[str, Any] = {
        "uuid": uuid4(),
        "address": "127.0.0.1",
        "trust": "owned",
        "public_key_sha256": "00",
    }
    return Host.objects.create(**(values | more))
