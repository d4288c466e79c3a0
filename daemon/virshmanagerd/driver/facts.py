"""What must be known of a domain before it is changed, and to judge afterwards whether it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import libvirt

from virshmanagerd.driver.session import Session
from virshmanagerd.driver.single import flag_of
from virshmanagerd.states import in_memory, state_word

JOBS: Final = (libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED)
# Another call holds the domain's job, whatever it does.
HELD: Final = (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_RESOURCE_BUSY)
NO_JOB: Final = (
    libvirt.VIR_ERR_NO_SUPPORT,
    libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
)


@dataclass(frozen=True)
class Stored:
    """What libvirt keeps of a domain. `xml` is the inactive one; a transient domain has only the live one."""

    persistent: bool
    autostart: bool
    managed_save: bool
    xml: str


@dataclass(frozen=True)
class Facts:
    """One domain. `id` is None while it is off; `working`: a job of libvirt's is not over.

    `working` and `stored` are known only when they were asked for: each is another word with libvirt, and
    somebody waits for the change.
    """

    id: int | None
    state: str
    working: bool = False
    stored: Stored | None = None

    @property
    def active(self) -> bool:
        """Whether the domain exists in memory."""
        return in_memory(self.state, has_id=self.id is not None)


def facts(session: Session, uuid: str, *, job: bool, stored: bool) -> Facts | None:
    """What libvirt knows without the guest's process; None when there is no such domain.

    With `job` and `stored` also whether a job runs, and what is kept.
    """
    try:
        found = _facts(session, uuid, job=job, stored=stored)
        if found.active and found.id is None:  # it was started after it was found: by its id it is known
            found = _facts(session, uuid, job=job, stored=stored)
        return found
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def progress(session: Session, uuid: str) -> int | None:
    """How far the domain's job is in per cent, where libvirt tells."""
    stats = session.connection.lookupByUUIDString(uuid).jobStats()
    total, processed = stats.get("data_total", 0), stats.get("data_processed", 0)
    return min(100, 100 * processed // total) if total > 0 else None


def _facts(session: Session, uuid: str, *, job: bool, stored: bool) -> Facts:
    # The handle's own id is the one it was found with, a moment before its state is asked.
    handle = session.connection.lookupByUUIDString(uuid)
    state = state_word(handle.state()[0])
    active = in_memory(state, has_id=handle.ID() >= 0)
    return Facts(
        id=handle.ID() if active and handle.ID() >= 0 else None,
        state=state,
        working=job and active and _works(handle),
        stored=_stored(handle) if stored else None,
    )


def _stored(handle: libvirt.virDomain) -> Stored:
    persistent = bool(handle.isPersistent())
    return Stored(
        persistent=persistent,
        autostart=persistent and flag_of(handle.autostart),
        managed_save=persistent and flag_of(handle.hasManagedSaveImage),
        xml=handle.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE if persistent else 0),
    )


def _works(handle: libvirt.virDomain) -> bool:
    try:
        return handle.jobInfo()[0] in JOBS
    except libvirt.libvirtError as error:
        if error.get_error_code() in HELD:
            return True
        if error.get_error_code() in NO_JOB:
            return False
        raise
