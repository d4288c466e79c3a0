from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd.png import SIGNATURE, from_ppm


@pytest.mark.attack("Hostile guest")
@pytest.mark.parametrize(
    "ppm",
    [
        b"",
        b"P6",
        b"P5 1 1 255\n\0",
        b"P6 0 1 255\n",
        b"P6 99999 1 255\n",
        b"P6 1 1 65535\n\0\0\0\0\0\0",
        b"P6 2 2 255\n\0\0\0",
        b"P6 123456789 1 255\n",
    ],
)
def test_what_is_no_picture_is_refused(ppm: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        from_ppm(ppm)


@pytest.mark.attack("Hostile guest")
@given(st.binary(max_size=64))
def test_any_bytes_are_converted_or_refused(data: bytes) -> None:
    try:
        from_ppm(b"P6 " + data)
    except ValueError:
        return


def chunks(png: bytes) -> dict[bytes, bytes]:
    """The chunks by name; each checksum is proved."""
    assert png.startswith(SIGNATURE)
    found, at = {}, len(SIGNATURE)
    while at < len(png):
        size, name = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", png, at + 8 + size) == (zlib.crc32(name + data),)
        found[name], at = data, at + 12 + size
    return found


@pytest.mark.parametrize("header", [b"P6 2 2 255\n", b"P6\n2 2\n255\n", b"P6\n# made by QEMU\n2 2\n255\n"])
def test_every_pixel_arrives(header: bytes) -> None:
    pixels = bytes(range(12))
    found = chunks(from_ppm(header + pixels))
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    assert found[b"IHDR"] == struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    assert zlib.decompress(found[b"IDAT"]) == b"\0" + pixels[:6] + b"\0" + pixels[6:]
