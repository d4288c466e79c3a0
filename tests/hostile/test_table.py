"""The table of attacks tells what pytest's own reports say, and nothing better."""

from pathlib import Path

import pytest

from tests.attacks import KINDS, counted, main


def case(kind: str, end: str = "", tried: int = 0) -> str:
    told = {"attack": kind} | ({"tried": tried} if tried else {})
    properties = "".join(f'<property name="{name}" value="{value}"/>' for name, value in told.items())
    return f"<testcase><properties>{properties}</properties>{end}</testcase>"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.xml"


def write(report: Path, *cases: str) -> list[str]:
    report.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return [str(report)]


@pytest.mark.parametrize("end", ["<failure/>", "<error/>"])
def test_one_that_was_not_refused_fails(report: Path, end: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = write(report, *map(case, KINDS), case("XML", end, 7))
    assert counted(told)["XML"] == {"tried": 8, "refused": 1, "not refused": 7}
    assert main(told) == 1
    assert "Path traversal" in capsys.readouterr().out


def test_a_class_that_was_not_tried_fails_and_is_named(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = write(report, *map(case, KINDS[1:]), case(KINDS[0], "<skipped/>"))
    assert main(told) == 1
    assert f"No attack was tried of: {KINDS[0]}\n" in capsys.readouterr().out


def test_all_that_were_refused_are_counted(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = write(report, *(case(kind, tried=3) for kind in KINDS), "<testcase name='no attack'/>")
    assert main(told) == 0
    *_, total = capsys.readouterr().out.splitlines()
    assert total.split() == ["All", str(3 * len(KINDS)), str(3 * len(KINDS)), "0", "0"]
