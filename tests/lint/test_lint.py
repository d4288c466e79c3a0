"""What bandit and pip-audit say is read as it is meant."""

from pathlib import Path

import pytest

from .advisories import verdict
from .weaknesses import findings

CHECKED = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
WEAK = {"name": "c", "version": "1", "vulns": [{"id": "CVE-2026-0001", "fix_versions": ["2"]}]}


PLANTED = {
    "subprocess.run(name, shell=True)": ["B602"],
    "subprocess.run(name, shell=True)  # noqa: S602 -- planted": [],
    "subprocess.run(name, shell=True)  # noqa: S603 -- another rule": ["B602"],
    "subprocess.run(name, shell=True)  # nosec B602 -- planted": [],
    "hashlib.md5(name)": ["B324"],
    "mark_safe(name)": ["B308", "B703"],
    "print(name)": [],
}
HEAD = "import hashlib\nimport subprocess\nfrom django.utils.safestring import mark_safe\n"


def test_a_weakness_is_found_unless_its_line_says_why(tmp_path: Path) -> None:
    """One file for each line, and one run for all."""
    for number, line in enumerate(PLANTED):
        (tmp_path / f"{number}.py").write_text(f"{HEAD}\n\ndef planted(name):\n    {line}\n")
    told = [(Path(found["filename"]).stem, found["test_id"]) for found in findings([str(tmp_path)])]
    expected = [(str(number), code) for number, codes in enumerate(PLANTED.values()) for code in codes]
    assert sorted(told) == expected


def test_what_cannot_be_read_is_no_good_news(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("def (")
    with pytest.raises(RuntimeError):
        findings([str(tmp_path)])


def test_a_known_weakness_fails() -> None:
    status, lines = verdict([CHECKED, WEAK])
    assert status == 1
    assert lines[0] == "c 1: CVE-2026-0001, mended in 2"


def test_what_was_not_checked_is_said_and_fails_nothing() -> None:
    assert verdict(None) == (0, ["NOT CHECKED: pip-audit gave no report."])
    status, lines = verdict([CHECKED, SKIPPED])
    assert (status, lines[0]) == (0, "NOT CHECKED: 1 of 2 packages: b")
    assert "1 packages were checked" in lines[-1]
