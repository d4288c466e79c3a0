"""A page that names an icon gets one: what is not in the sprite would be an empty square."""

import re
from pathlib import Path

from domains.verbs import VERBS
from virshmanager.templatetags.journal import verb_icon

ROOT = Path(__file__).resolve().parent.parent.parent
ICON = re.compile(r"""\bicon[\s(]+["']([a-z0-9-]+)["']""")


def test_the_sprite_has_the_icons_in_use_and_no_other() -> None:
    listed = set((ROOT / "assets/icons.txt").read_text().split())
    pages = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "virshmanager/templatetags").glob("*.py")]
    named = {name for page in pages for name in ICON.findall(page.read_text())}
    assert named, "the pattern finds no icon at all"
    of_verbs = {verb_icon(verb) for verb in (*VERBS, "define")}
    assert listed == named | of_verbs


def test_the_list_of_icons_is_sorted_and_without_repetition() -> None:
    names = (ROOT / "assets/icons.txt").read_text().split()
    assert names == sorted(set(names))
