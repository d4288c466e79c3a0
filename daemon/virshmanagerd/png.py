"""PNG from PPM, the other format in which libvirt's QEMU driver takes screenshots."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_SIDE: Final = 16384

# Netpbm's raw PPM with one byte a sample: https://netpbm.sourceforge.net/doc/ppm.html
_HEADER = re.compile(rb"P6(?:\s|#[^\n]{0,200}\n)+(\d{1,5})\s+(\d{1,5})\s+255\s")


def from_ppm(ppm: bytes) -> bytes:
    """The same picture as a PNG (RFC 2083), true colour, 8 bits. Raises ValueError."""
    header = _HEADER.match(ppm)
    if header is None:
        raise ValueError("not a PPM picture of 8 bits")
    width, height = (int(number) for number in header.groups())
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ValueError("the picture's size is out of range")
    if len(ppm) - header.end() < 3 * width * height:
        raise ValueError("the picture is cut off")
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = _compress(memoryview(ppm)[header.end() :], 3 * width, height)
    return SIGNATURE + _chunk(b"IHDR", size) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _compress(pixels: memoryview, row: int, height: int) -> bytes:
    packer = zlib.compressobj(level=1)  # a screen is mostly flat: more effort gains little
    parts = []
    for y in range(height):
        parts.append(packer.compress(b"\0"))  # each row begins with its filter: none
        parts.append(packer.compress(pixels[y * row : (y + 1) * row]))
    return b"".join([*parts, packer.flush()])


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
    return struct.pack(">I", len(data)) + name + data + checksum
