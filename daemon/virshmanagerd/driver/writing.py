"""What changes a domain. Each is one change: it returns when libvirt has done it, however long that takes.

Who calls has looked at the domain's state before (`facts`): libvirt's own refusals differ by hypervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from xml.etree import ElementTree as ET

import libvirt

from virshmanagerd.driver.session import Session
from virshmanagerd.errors import WrongState

NAMESPACE: Final = "urn:virshmanager:domain:1"
PREFIX: Final = "virshmanager"

# How a driver says that it does not know a flag.
UNKNOWN_FLAG: Final = (
    libvirt.VIR_ERR_NO_SUPPORT,
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
)
# The button, and not the guest agent, which QEMU's driver asks first when it may choose (0): it can hang,
# and can lie. Other drivers may know neither.
ACPI: Final = (libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, 0)
REBOOT: Final = (libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN, 0)
VALIDATED: Final = (libvirt.VIR_DOMAIN_DEFINE_VALIDATE, 0)
_SAVED: Final[int] = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
_SNAPSHOTS: Final[int] = _SAVED | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_FIRMWARE: Final[int] = _SNAPSHOTS | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
_CHECKPOINTS: Final[int] = _FIRMWARE | getattr(libvirt, "VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA", 0)
# What a guest keeps in its firmware and its TPM stays, as its disks do. Younger flags come first.
UNDEFINE: Final = (
    _CHECKPOINTS | getattr(libvirt, "VIR_DOMAIN_UNDEFINE_KEEP_TPM", 0),
    _CHECKPOINTS,
    _FIRMWARE,
    _SNAPSHOTS,
    _SAVED,
    0,
)


def start(session: Session, uuid: str) -> None:
    """Boot a domain that is off, or restore it when it was saved."""
    _domain(session, uuid).create()


def shutdown(session: Session, uuid: str) -> None:
    """Press the guest's power button. What it does then is its own affair."""
    _with_flags(_domain(session, uuid).shutdownFlags, ACPI)


def reboot(session: Session, uuid: str) -> None:
    """Ask the guest to reboot."""
    _with_flags(_domain(session, uuid).reboot, REBOOT)


def reset(session: Session, uuid: str) -> None:
    """Press the guest's reset button."""
    _domain(session, uuid).reset(0)


def destroy(session: Session, uuid: str, number: int) -> None:
    """Take the power of the guest that has this domain id. A later one of the same domain is left alone."""
    domain = _domain(session, uuid)
    if domain.ID() == number:
        domain.destroy()


def suspend(session: Session, uuid: str) -> None:
    """Stop the guest's processors."""
    _domain(session, uuid).suspend()


def resume(session: Session, uuid: str) -> None:
    """Let the guest's processors go on."""
    _domain(session, uuid).resume()


def save(session: Session, uuid: str) -> None:
    """Write the guest's memory to the host's disk, and stop it. See `abort`."""
    _domain(session, uuid).managedSave(0)


def restore(session: Session, uuid: str) -> None:
    """Let a saved guest go on. One whose saved state is gone must not boot afresh instead: WrongState."""
    domain = _domain(session, uuid)
    if not domain.hasManagedSaveImage():
        raise WrongState("the domain has no saved state")
    domain.create()


def abort(session: Session, uuid: str) -> None:
    """End the domain's job, such as `save`; the guest then goes on."""
    _domain(session, uuid).abortJob()


def autostart(session: Session, uuid: str, *, enabled: bool) -> None:
    """Let libvirt start the domain when the host starts, or not."""
    _domain(session, uuid).setAutostart(int(enabled))


def undefine(session: Session, uuid: str) -> None:
    """Forget the definition and the saved state of a domain that is off. Its disks stay."""
    _with_flags(_domain(session, uuid).undefineFlags, UNDEFINE)


def metadata(
    session: Session,
    uuid: str,
    *,
    title: str | None = None,
    description: str | None = None,
    tags: Sequence[str] | None = None,
) -> None:
    """Set what people write about a domain; None leaves a field, and what is empty removes it."""
    domain = _domain(session, uuid)
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0
    flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0
    if title is not None:
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, title or None, None, None, flags)
    if description is not None:
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, description or None, None, None, flags)
    if tags is not None:
        _set_tags(domain, tags, flags)


def define(session: Session, xml: str) -> None:
    """Define a domain, or define it anew."""
    _with_flags(lambda flags: session.connection.defineXMLFlags(xml, flags), VALIDATED)


def _domain(session: Session, uuid: str) -> libvirt.virDomain:
    return session.connection.lookupByUUIDString(uuid)


def _set_tags(domain: libvirt.virDomain, tags: Sequence[str], flags: int) -> None:
    root = ET.Element("tags")
    for tag in tags:
        ET.SubElement(root, "tag").text = tag
    text = ET.tostring(root, encoding="unicode") if tags else None
    try:
        domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, PREFIX, NAMESPACE, flags)
    except libvirt.libvirtError as error:
        if tags or error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            raise  # else there were none to remove


def _with_flags(call: Callable[[int], object], attempts: Sequence[int]) -> None:
    """Call with the first flags that this hypervisor knows."""
    flags, *others = attempts
    try:
        call(flags)
    except libvirt.libvirtError as error:
        if not others or error.get_error_code() not in UNKNOWN_FLAG:
            raise
        _with_flags(call, others)
