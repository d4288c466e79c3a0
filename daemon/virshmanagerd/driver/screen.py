"""What a domain shows on its screen."""

from __future__ import annotations

from typing import Final

import libvirt

from virshmanagerd import png
from virshmanagerd.driver.session import Session
from virshmanagerd.driver.single import is_active
from virshmanagerd.errors import DriverError, NotSupported, WrongState

LIMIT: Final = 32 * 1024 * 1024  # a 4K screen takes 25 MB as PPM
PIECE: Final = 256 * 1024


def take(session: Session, uuid: str) -> bytes:
    """The first screen, as libvirt gives it. Raises WrongState for a domain that is off."""
    handle = session.connection.lookupByUUIDString(uuid)
    if not is_active(handle):
        raise WrongState("the domain is not running: it has no screen")
    stream = session.connection.newStream()
    handle.screenshot(stream, 0)
    return _receive(stream)


def as_png(picture: bytes) -> bytes:
    """The picture as PNG. Raises NotSupported for a format other than PNG and PPM."""
    if picture.startswith(png.SIGNATURE):
        return picture
    try:
        return png.from_ppm(picture)
    except ValueError as error:
        raise NotSupported(f"the screenshot cannot be read: {error}") from None


def _receive(stream: libvirt.virStream) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := stream.recv(PIECE):
        size += len(piece)
        if size > LIMIT:
            stream.abort()
            raise DriverError("the screenshot is too large")
        pieces.append(piece)
    stream.finish()
    return b"".join(pieces)
