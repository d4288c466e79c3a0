"""Answers about one domain, and about the host."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from typing import Final, Literal

import libvirt

from virshmanagerd import domainxml, safexml
from virshmanagerd.domainxml import Summary
from virshmanagerd.driver import bulk
from virshmanagerd.driver.answers import Domain, DomainDetails, HostFacts, Libvirt
from virshmanagerd.driver.session import Session
from virshmanagerd.errors import InvalidXML, WrongState
from virshmanagerd.states import in_memory, state_word
from virshmanagerd.text import clean

Which = Literal["live", "inactive"]

MAX_ADDRESSES: Final = 16  # of one interface
MIB: Final = 1024 * 1024

# The guest agent is not asked: its answers are the guest's own word, and it can hang.
ADDRESS_SOURCES: Final = (
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
)


def is_active(handle: libvirt.virDomain) -> bool:
    """Whether the domain exists in memory."""
    return in_memory(state_word(handle.state()[0]), has_id=handle.ID() >= 0)


def xml_hash(text: str) -> str:
    """SHA-256 of a domain's XML, hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def details(session: Session, uuid: str) -> DomainDetails:
    """One domain; asks only for what libvirt knows without the guest's process."""
    handle = session.connection.lookupByUUIDString(uuid)
    live = handle.XMLDesc(0)
    kept = handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) if handle.isPersistent() else live
    root = domainxml.parse(live)
    return {**_row(handle, domainxml.summary(root)), **domainxml.details(root), "xml_hash": xml_hash(kept)}


def row(session: Session, uuid: str) -> Domain | None:
    """One domain as in a list, or None when there is none; asks only what libvirt knows by itself.

    Its XML is read anew: the cache of a list may not have heard yet of what was changed a moment ago.
    """
    try:
        handle = session.connection.lookupByUUIDString(uuid)
        return _row(handle, bulk.summary(handle))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None  # or it was undefined between two of the calls
        raise


def _row(handle: libvirt.virDomain, read: Summary) -> Domain:
    state, reason = handle.state()
    _, maximum, current, vcpus, _ = handle.info()
    stats = {
        "state.state": state,
        "state.reason": reason,
        "vcpu.current": vcpus,
        "balloon.current": current,
        "balloon.maximum": maximum,
    }
    flags = {
        "persistent": bool(handle.isPersistent()),
        "autostart": flag_of(handle.autostart),
        "has_managed_save": flag_of(handle.hasManagedSaveImage),
    }
    return bulk.domain_row(handle, stats, read, flags)


def flag_of(ask: Callable[[], int]) -> bool:
    """A yes or no of libvirt's; no where the hypervisor cannot have it."""
    try:
        return bool(ask())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return False
        raise


def xml(session: Session, uuid: str, which: Which | None) -> str:
    """The domain's XML, without secrets. Raises WrongState when it has none of that kind."""
    handle = session.connection.lookupByUUIDString(uuid)
    active = is_active(handle)
    if which == "live" and not active:
        raise WrongState("the domain is not running: it has no live XML")
    if which == "inactive" and not handle.isPersistent():
        raise WrongState("the domain is transient: it has no inactive XML")
    live = active if which is None else which == "live"
    text: str = handle.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE)
    if len(text) > safexml.MAX_BYTES:
        raise InvalidXML("the domain's XML is too large to pass on")
    return text


def addresses(session: Session, uuid: str) -> dict[str, list[str]]:
    """IP addresses by MAC address, from DHCP leases and the host's neighbour table."""
    handle = session.connection.lookupByUUIDString(uuid)
    found: dict[str, list[str]] = {}
    for source in ADDRESS_SOURCES:
        try:
            interfaces = handle.interfaceAddresses(source)
        except libvirt.libvirtError:
            continue  # no such source here; the other may know
        for interface in interfaces.values():
            mac = (interface["hwaddr"] or "").lower()
            known = found.setdefault(mac, [])
            known.extend(a for a in _ips(interface["addrs"]) if a not in known)
    return {mac: known[:MAX_ADDRESSES] for mac, known in found.items()}


def _ips(entries: Iterable[dict[str, str]] | None) -> list[str]:
    return [ip for entry in entries or () if (ip := _ip(entry["addr"]))]


def _ip(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None  # what stands in a lease file need not be an address


def host(session: Session) -> HostFacts:
    """What libvirt says of its host."""
    connection = session.connection
    _, memory, cpus, *_ = connection.getInfo()
    return HostFacts(
        uuid=session.constants.host_uuid,
        cpus=cpus,
        memory=memory * MIB,
        memory_free=_memory_free(connection),
        libvirt=Libvirt(
            uri=connection.getURI(),
            alive=True,
            version=_version(connection.getLibVersion()),
            hypervisor=clean(connection.getType(), 64),
            hypervisor_version=session.constants.hypervisor_version,
            error=None,
        ),
        event_epoch=session.epoch,
    )


def learn_constants(session: Session) -> None:
    """Ask once for what never changes, and can take long.

    A libvirtd that has just been installed first tries out every emulator
    (8 seconds were seen). One caller waits for that, the others do without.
    """
    constants = session.constants
    if constants.hypervisor_version is None and constants.learning.acquire(blocking=False):
        try:
            root = safexml.parse(session.connection.getCapabilities())
            constants.host_uuid = clean((root.findtext("host/uuid") or "").strip(), 36) or None
            constants.hypervisor_version = _version(session.connection.getVersion())
        finally:
            constants.learning.release()


def _memory_free(connection: libvirt.virConnect) -> int:
    """What guests could be given: the page cache counts as free."""
    try:
        sizes = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    except libvirt.libvirtError:
        return int(connection.getFreeMemory())
    return 1024 * sum(int(sizes.get(name, 0)) for name in ("free", "buffers", "cached"))


def _version(number: int) -> str:
    """libvirt packs a version as major * 1,000,000 + minor * 1,000 + release."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
