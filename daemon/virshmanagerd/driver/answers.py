"""The shapes of the driver's answers. All sizes in bytes."""

from __future__ import annotations

from typing import TypedDict

from virshmanagerd.domainxml import Details


class Libvirt(TypedDict):
    """How libvirt is. `alive` is False, and `error` says why, when it does not answer."""

    uri: str
    alive: bool
    version: str | None
    hypervisor: str | None
    hypervisor_version: str | None
    error: str | None


class HostFacts(TypedDict):
    """What libvirt says of its host; None where it does not say."""

    uuid: str | None
    cpus: int | None
    memory: int | None
    memory_free: int | None
    libvirt: Libvirt
    event_epoch: str


class Metadata(TypedDict):
    """What people wrote about a domain."""

    description: str | None
    tags: list[str]


class Domain(TypedDict):
    """One domain in a list. `id` is None while it is off."""

    uuid: str
    name: str
    id: int | None
    state: str
    reason: str
    vcpus: int | None
    memory: int | None
    max_memory: int | None
    persistent: bool
    autostart: bool
    has_managed_save: bool
    title: str | None
    metadata: Metadata


class Listing(TypedDict):
    """All domains, and the epoch of the events that tell what changes in them."""

    event_epoch: str
    domains: list[Domain]


class DomainDetails(Domain, Details):
    """One domain with its devices. `xml_hash` is SHA-256, hex, of the inactive, else live XML."""

    xml_hash: str


class BlockCounters(TypedDict):
    """Of all disks together; None where libvirt does not say."""

    rd_bytes: int | None
    wr_bytes: int | None
    rd_reqs: int | None
    wr_reqs: int | None


class NetCounters(TypedDict):
    """Of all interfaces together; None where libvirt does not say."""

    rx_bytes: int | None
    tx_bytes: int | None
    rx_packets: int | None
    tx_packets: int | None


class Sample(TypedDict):
    """What one active domain uses; counters grow until the domain ends. None where libvirt does not say.

    `memory` is what the guest has now, `memory_used` what it says that it uses of it.
    """

    uuid: str
    cpu_time_ns: int | None
    vcpus: int | None
    memory: int | None
    memory_used: int | None
    block: BlockCounters
    net: NetCounters


Stat = int | float | bool | str


class DomainStats(TypedDict):
    """libvirt's own keys and values (virConnectGetAllDomainStats)."""

    uuid: str
    stats: dict[str, Stat]
