"""What the driver raises, and which libvirt error means what.

    DriverError            500 internal_error   libvirt failed in a way not listed below
    |- NoSuchDomain        404 no_such_domain
    |- WrongState          409 wrong_state      the domain's state does not allow it
    |- NoSerialDevice      409 no_serial_device the domain has no serial console that can be opened
    |- NoVncDevice         409 no_vnc_device    the domain has no VNC display
    |- ConsoleBusy         409 console_busy     another program has the serial console
    |- GuestDidNotStop     409 guest_did_not_stop
    |- XmlChanged          412 xml_changed      the domain's XML is not the one that was meant
    |- InvalidXML          422 invalid_xml
    |- NotSupported        501 not_supported    this hypervisor cannot do it
    `- Unavailable                              worth trying again
       |- LibvirtDown      503 libvirt_down     no connection
       |- QueueFull        503 queue_full       too many calls in flight
       `- HypervisorBusy   504 hypervisor_busy  no answer within the deadline

`type` and `status` are the contract's problem word and HTTP status.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar, Final

from virshmanagerd.text import clean

DETAIL_LIMIT: Final = 500


class DriverError(Exception):
    """libvirt could not do what was asked. `detail` is safe to show."""

    type: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "libvirt failed"
    retry_after: ClassVar[int | None] = None

    def __init__(self, detail: str = "") -> None:
        self.detail = clean(detail, DETAIL_LIMIT)
        super().__init__(self.detail or self.title)


class NoSuchDomain(DriverError):
    """No domain has this UUID."""

    type = "no_such_domain"
    status = 404
    title = "No such domain"


class WrongState(DriverError):
    """The domain's state does not allow what was asked."""

    type = "wrong_state"
    status = 409
    title = "The domain's state does not allow this"


class NoSerialDevice(DriverError):
    """The domain has no serial console that libvirt can open."""

    type = "no_serial_device"
    status = 409
    title = "No serial console"


class NoVncDevice(DriverError):
    """The domain has no VNC display."""

    type = "no_vnc_device"
    status = 409
    title = "No VNC display"


class ConsoleBusy(DriverError):
    """Another program on the host holds the serial console: libvirt lends it to one."""

    type = "console_busy"
    status = 409
    title = "The console is in use"


class GuestDidNotStop(DriverError):
    """The guest was asked to shut down, and still runs at the deadline."""

    type = "guest_did_not_stop"
    status = 409
    title = "The guest did not shut down in time"


class XmlChanged(DriverError):
    """Somebody else has changed the domain's definition."""

    type = "xml_changed"
    status = 412
    title = "The domain's XML has changed"


class InvalidXML(DriverError):
    """The XML is malformed, oversized, or not what libvirt accepts."""

    type = "invalid_xml"
    status = 422
    title = "Invalid XML"


class NotSupported(DriverError):
    """The hypervisor, or its libvirt driver, cannot do this."""

    type = "not_supported"
    status = 501
    title = "Not supported by this hypervisor"


class Unavailable(DriverError):
    """The hypervisor cannot answer now; the same call may succeed later."""

    status = 503


class LibvirtDown(Unavailable):
    """There is no connection to libvirt."""

    type = "libvirt_down"
    title = "libvirt is down"


class QueueFull(Unavailable):
    """As many calls are in flight as this hypervisor is given."""

    type = "queue_full"
    title = "Too many calls to libvirt"
    retry_after = 2


class HypervisorBusy(Unavailable):
    """libvirt did not answer within the deadline."""

    type = "hypervisor_busy"
    status = 504
    title = "libvirt did not answer in time"


# virErrorNumber of libvirt; the names are in the comments, and the tests compare them.
BY_CODE: Final = MappingProxyType(
    {
        3: NotSupported,  # NO_SUPPORT
        5: LibvirtDown,  # NO_CONNECT
        6: LibvirtDown,  # INVALID_CONN
        27: InvalidXML,  # XML_ERROR
        35: InvalidXML,  # XML_DETAIL
        42: NoSuchDomain,  # NO_DOMAIN
        55: WrongState,  # OPERATION_INVALID
        67: NotSupported,  # CONFIG_UNSUPPORTED
        68: HypervisorBusy,  # OPERATION_TIMEOUT: "cannot acquire state change lock"
        74: NotSupported,  # ARGUMENT_UNSUPPORTED
        84: NotSupported,  # OPERATION_UNSUPPORTED
        87: HypervisorBusy,  # RESOURCE_BUSY
        92: InvalidXML,  # XML_INVALID_SCHEMA
    }
)


def from_code(code: int, message: str) -> DriverError:
    """The error for libvirt's code, with libvirt's own message as its detail."""
    return BY_CODE.get(code, DriverError)(message)
