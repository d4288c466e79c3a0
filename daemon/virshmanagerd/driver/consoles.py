"""Which consoles a running domain has, a socket to its VNC display, and why a console ended."""

from __future__ import annotations

import enum
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from xml.etree.ElementTree import Element

import libvirt

from virshmanagerd import domainxml
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.driver.pool import Pool
from virshmanagerd.driver.session import Session
from virshmanagerd.driver.single import is_active
from virshmanagerd.errors import (
    DriverError,
    NoSerialDevice,
    NoSuchDomain,
    NoVncDevice,
    WrongState,
)

SETTLE_SECONDS: Final = 5.0
LOOK_AGAIN_SECONDS: Final = 0.1

_POOL = Pool(32)


class End(enum.Enum):
    """Why a console is over."""

    STOPPED = "the domain does not run any more"
    LOST = "libvirt was lost"
    CUT = "the domain runs, and its device has another user"


def serial_line(session: Session, uuid: str) -> tuple[int, str | None]:
    """The guest's id, and libvirt's name of its line that can be opened; None where libvirt names none.

    Raises NoSerialDevice, or WrongState for a domain that is off.
    """
    number, root = _running(session, uuid)
    for device in _characters(root):
        if device.get("type") == "pty":
            alias = device.find("alias")
            return number, None if alias is None else alias.get("name")
    found = [f"<{device.tag} type='{device.get('type', '')}'>" for device in _characters(root)]
    has = f"it has {', '.join(found)}" if found else "it has none at all"
    raise NoSerialDevice(f"the domain needs a <serial type='pty'> or <console type='pty'>: {has}")


def _characters(root: Element) -> Iterator[Element]:
    for name in ("console", "serial"):
        yield from root.iterfind(f"devices/{name}")


def vnc_index(session: Session, uuid: str) -> int:
    """Which of the domain's displays is VNC. Raises NoVncDevice, or WrongState for a domain that is off."""
    _, root = _running(session, uuid)
    displays = root.iterfind("devices/graphics")
    types = [display.get("type", "") for display in displays]
    if "vnc" in types:
        return types.index("vnc")
    has = f"it has {', '.join(types).upper()} only" if types else "it has no display at all"
    raise NoVncDevice(f"the domain needs a <graphics type='vnc'>: {has}")


def _running(session: Session, uuid: str) -> tuple[int, Element]:
    handle = session.connection.lookupByUUIDString(uuid)
    if not is_active(handle):
        raise WrongState("the domain is not running: it has no console")
    return handle.ID(), domainxml.parse(handle.XMLDesc(0))


def open_vnc(session: Session, uuid: str, index: int) -> socket.socket:
    """A new connection to one of the domain's displays, which asks for no password."""
    handle = session.connection.lookupByUUIDString(uuid)
    opened = socket.socket(fileno=handle.openGraphicsFD(index, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH))
    opened.setblocking(False)
    return opened


def is_running(session: Session, uuid: str, number: int | None = None) -> bool:
    """Whether the domain exists in memory, and still as the guest of this id."""
    handle = session.connection.lookupByUUIDString(uuid)
    return is_active(handle) and number in {None, handle.ID()}


def find_end(runs: Callable[[], bool], tell: Callable[[End], None]) -> None:
    """Tell why a console ended. A guest's devices end a moment before libvirt says that it stopped."""
    begin(partial(_look, runs, tell, time.monotonic() + SETTLE_SECONDS))


def begin(work: Callable[[], None]) -> None:
    """Have a thread for consoles call `work`, which may wait."""
    _POOL.submit(work)


def _look(runs: Callable[[], bool], tell: Callable[[End], None], until: float) -> None:
    try:
        running = runs()
    except NoSuchDomain:
        running = False
    except DriverError:
        tell(End.LOST)
        return
    if not running:
        tell(End.STOPPED)
    elif time.monotonic() >= until:
        tell(End.CUT)
    else:
        again = partial(_look, runs, tell, until)
        LOOP.call_later(LOOK_AGAIN_SECONDS, partial(begin, again))
