"""A page that names an icon gets one: what is not in the sprite would be an empty square."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ICON_TAG = re.compile(r"""\{%\s*icon\s+["']([a-z0-9-]+)["']""")


def test_each_icon_in_a_template_is_in_the_sprite() -> None:
    listed = set((ROOT / "assets/icons.txt").read_text().split())
    used = {
        (name, path.name)
        for path in (ROOT / "templates").rglob("*.html")
        for name in ICON_TAG.findall(path.read_text())
    }
    assert used, "the pattern finds no icon at all"
    assert not {(name, page) for name, page in used if name not in listed}


def test_the_list_of_icons_is_sorted_and_without_repetition() -> None:
    names = (ROOT / "assets/icons.txt").read_text().split()
    assert names == sorted(set(names))
