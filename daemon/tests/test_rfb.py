"""What who only looks on may say to a screen."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd.consoles.rfb import MOST_TEXT, RfbError, ViewFilter

HELLO = b"RFB 003.008\n\x01\x01"

KEY = struct.pack("!BB2xI", 4, 1, 0x61)
POINTER = struct.pack("!BBHH", 5, 1, 10, 20)
TEXT = struct.pack("!B3xI", 6, 5) + b"\x00\x01\x02\x03\x04"
EXTENDED_TEXT = struct.pack("!B3xi", 6, -8) + b"\x10\x00\x00\x01" + b"\x03" * 4
POWER = struct.pack("!BxBB", 250, 1, 3)
RESIZE = struct.pack("!BxHHBx", 251, 800, 600, 2) + bytes([4]) * 32
QEMU_KEY = struct.pack("!BBHII", 255, 0, 1, 0x61, 30)
DROPPED = [KEY, POINTER, TEXT, EXTENDED_TEXT, POWER, RESIZE, QEMU_KEY]

FORMAT = struct.pack("!B3x", 0) + bytes([4]) * 16
ENCODINGS = struct.pack("!BxH", 2, 3) + struct.pack("!3i", 0, -223, 5)
UPDATE = struct.pack("!BBHHHH", 3, 1, 0, 0, 800, 600)
CONTINUOUS = struct.pack("!BBHHHH", 150, 1, 0, 0, 800, 600)
FENCE = struct.pack("!B3xIB", 248, 1, 4) + b"\x04\x05\x06\xff"
PASSED = [FORMAT, ENCODINGS, UPDATE, CONTINUOUS, FENCE]


def fed(data: bytes, cuts: list[int]) -> bytes:
    """What comes through when the data come in pieces."""
    view = ViewFilter()
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return b"".join(view.feed(data[begin:end]) for begin, end in itertools.pairwise(places))


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1",
        b"RFB 003.003\n",
        b"RFB 003.889\n",
        b"RFB 003.008\r",
        b"RFB 003.008\n\x02",
        b"RFB 003.008\n\x13",
        HELLO + b"\x01",
        HELLO + b"\x07",
        HELLO + b"\xfe",
        HELLO + b"\xff\x01\x00\x00",
        HELLO + b"\xff\x02",
        HELLO + struct.pack("!B3xI", 6, MOST_TEXT + 1),
        HELLO + struct.pack("!B3xi", 6, -(2**31)),
        HELLO + UPDATE + KEY + b"\x63",
    ],
)
def test_what_is_not_known_ends_it(said: bytes) -> None:
    with pytest.raises(RfbError):
        ViewFilter().feed(said)
    with pytest.raises(RfbError):
        fed(said, list(range(len(said))))


@pytest.mark.parametrize("message", DROPPED)
def test_what_would_change_the_guest_is_dropped(message: bytes) -> None:
    assert fed(HELLO + message + UPDATE, []) == HELLO + UPDATE


@pytest.mark.parametrize("message", PASSED)
def test_what_only_looks_passes(message: bytes) -> None:
    assert fed(HELLO + message, []) == HELLO + message


def test_nobody_is_sent_away() -> None:
    """A client may ask to have the screen for itself, which would close all others."""
    assert ViewFilter().feed(HELLO[:-1] + b"\x00") == HELLO


def test_a_dropped_message_is_not_kept() -> None:
    view = ViewFilter()
    view.feed(HELLO + struct.pack("!B3xI", 6, MOST_TEXT))
    for _ in range(MOST_TEXT // 1024):
        assert view.feed(b"\x04" * 1024) == b""
    assert view.feed(UPDATE) == UPDATE


@given(messages=st.lists(st.sampled_from(DROPPED + PASSED)), cuts=st.lists(st.integers(0, 10_000)))
def test_pieces_of_any_size_change_nothing(messages: list[bytes], cuts: list[int]) -> None:
    through = b"".join(message for message in messages if message in PASSED)
    assert fed(HELLO + b"".join(messages), cuts) == HELLO + through


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 400)))
def test_whatever_is_said_no_input_comes_through(data: bytes, cuts: list[int]) -> None:
    """What a screen would read in it, message by message, is only what looks."""
    try:
        through = fed(HELLO + data, cuts)[len(HELLO) :]
    except RfbError:
        return
    lengths: dict[int, Callable[[bytes], int]] = {
        0: lambda _: 20,
        2: lambda message: 4 + 4 * int.from_bytes(message[2:4], "big"),
        3: lambda _: 10,
        150: lambda _: 10,
        248: lambda message: 9 + message[8],
    }
    while len(through) >= 9:
        assert through[0] in lengths
        through = through[lengths[through[0]](through) :]
