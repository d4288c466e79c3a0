"""Attacks that were tried, by class: a plugin of pytest that counts them, and the table of what it counted.

A test of an attack says its class by `@pytest.mark.attack(kind)`. With `-p tests.attacks` that goes into
pytest's JUnit file, beside what came of it; a test that tries many records how many as `tried`. The table is
made of such files alone: `python -m tests.attacks FILE...`
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

KINDS: Final = (
    "Authentication bypass",
    "XML",
    "Path traversal",
    "Server-side request forgery",
    "Header and log injection",
    "Cross-site request forgery",
    "Cross-site WebSocket",
    "Command-line injection",
    "Hostile daemon",
    "Hostile guest",
    "Console ticket",
    "Stored cross-site scripting",
    "Leaked secret",
    "Session and cookies",
    "Open redirect",
)
COLUMNS: Final = ("tried", "refused", "not refused", "not run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        mark = item.get_closest_marker("attack")
        if mark is not None:
            (kind,) = mark.args
            if kind not in KINDS:
                raise pytest.UsageError(f"{item.nodeid}: there is no class of attacks {kind!r}")
            item.user_properties.append(("attack", kind))


def counted(paths: list[str]) -> dict[str, Counter[str]]:
    """By class: how many attacks were tried, and what came of them."""
    table: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for path in paths:
        for case in ElementTree.fromstring(Path(path).read_bytes()).iter("testcase"):  # noqa: S314 -- our own
            told = {item.get("name"): item.get("value", "") for item in case.iter("property")}
            if "attack" in told:
                table[told["attack"]].update(_outcome(case, int(told.get("tried", 1))))
    return table


def _outcome(case: ElementTree.Element, attacks: int) -> dict[str, int]:
    if case.find("skipped") is not None:
        return {"not run": attacks}
    failed = case.find("failure") is not None or case.find("error") is not None
    return {"tried": attacks, "not refused" if failed else "refused": attacks}


def main(paths: list[str]) -> int:
    table = counted(paths)
    width = max(map(len, KINDS))
    total = sum(table.values(), Counter[str]())
    lines = ["  ".join([" " * width, *COLUMNS])]
    for kind, found in [*table.items(), ("All", total)]:
        lines.append("  ".join([kind.ljust(width), *(str(found[name]).rjust(len(name)) for name in COLUMNS)]))
    sys.stdout.write("\n".join(lines) + "\n")
    untried = [kind for kind, found in table.items() if not found["tried"]]
    if untried:
        sys.stdout.write(f"No attack was tried of: {', '.join(untried)}\n")
    return 1 if untried or total["not refused"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
