"""Text that guests, users and libvirt wrote, made safe to carry and to show."""

from __future__ import annotations

import json
import re
import unicodedata

SURROGATE = re.compile("[\ud800-\udfff]")
UNSAFE = ("Cc", "Cs")  # Unicode categories: control, surrogate


def clean(text: str, limit: int, *, lines: bool = False) -> str:
    """`text` without control characters, at most `limit` characters long.

    With `lines`, line ends and tabs are kept. Lone surrogates go too: they
    cannot be written as UTF-8.
    """
    if text.isascii() and text.isprintable():
        return text[:limit]  # most names, and much faster
    kept = "\n\t" if lines else ""
    window = text[: 4 * limit]  # bounds the work; a megabyte of control characters is no text
    chars = [char for char in window if char in kept or unicodedata.category(char) not in UNSAFE]
    return "".join(chars[:limit])


def to_json(value: object) -> str:
    """JSON as short as UTF-8 has it: escaped, the widest letters would take three times their bytes.

    With a lone surrogate in it, which UTF-8 cannot say, all is escaped.
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or not SURROGATE.search(text) else json.dumps(value)
