"""How history is packed: two bytes for each value, on a logarithmic scale, and a block of 32 keys in a row.

A value from 0 to 2**63 comes back with an error of at most 0.035 per cent of one more than it. A block is the
records of its keys, one after the other: one byte for the place of the key, then its values.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from ..choices import SERIES, Kind
from ..samples import NOT_A_NUMBER

KEYS_IN_BLOCK: Final = 32
# Steps for each doubling: 2**63 still has a code.
_STEPS: Final = 1024
_HIGHEST: Final = 65535
# The series and, at the end, the highest CPU.
_records: Final = {kind: struct.Struct(f"<B{len(SERIES[kind]) + 1}H") for kind in Kind}


def _encode(value: float) -> int:
    if math.isnan(value):
        return 0
    return min(_HIGHEST, 1 + round(_STEPS * math.log2(1 + value)))


def _decode(code: int) -> float:
    return 2 ** ((code - 1) / _STEPS) - 1 if code else NOT_A_NUMBER


def pack_block(kind: Kind, values: Mapping[int, tuple[float, ...]]) -> bytes:
    """Pack the values by key; the keys are of one block."""
    record = _records[kind]
    return b"".join(
        record.pack(pk % KEYS_IN_BLOCK, *map(_encode, numbers)) for pk, numbers in sorted(values.items())
    )


def unpack_block(kind: Kind, block: int, points: bytes) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Tell each key of a block with its values."""
    for place, *codes in _records[kind].iter_unpack(points):
        yield block * KEYS_IN_BLOCK + place, tuple(map(_decode, codes))


def find_in_block(kind: Kind, pk: int, points: bytes) -> tuple[float, ...] | None:
    """Return the values of one key, or None if the block does not have it."""
    record = _records[kind]
    for offset in range(0, len(points), record.size):
        if points[offset] == pk % KEYS_IN_BLOCK:
            return tuple(map(_decode, record.unpack_from(points, offset)[1:]))
    return None
