"""bandit, with one list of exceptions: `python -m tests.lint.weaknesses FOLDER...`.

ruff knows most of bandit's rules by the same numbers (S603 is B603). Where a line says why ruff's finding is
none (`# noqa: S603 -- reason`), it is none of bandit's either. What ruff does not know is marked `nosec`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

NOQA: Final = re.compile(r"#\s*noqa:\s*([A-Z0-9, ]+)")


def findings(folders: list[str]) -> list[dict[str, Any]]:
    """What bandit finds, without what is excepted. Raises RuntimeError when it could not read a file."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", "-c", "pyproject.toml", "-f", "json", *folders]
    told = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    if told["errors"]:
        raise RuntimeError(told["errors"])
    return [finding for finding in told["results"] if not _is_excepted(finding)]


def _is_excepted(finding: dict[str, Any]) -> bool:
    lines = Path(finding["filename"]).read_text().splitlines()
    of_it = [lines[number - 1] for number in finding["line_range"] if number <= len(lines)]
    codes = [code.strip() for line in of_it for told in NOQA.findall(line) for code in told.split(",")]
    return finding["test_id"].replace("B", "S", 1) in codes


def main(folders: list[str]) -> int:
    found = findings(folders)
    for finding in found:
        place = f"{finding['filename']}:{finding['line_number']}"
        sys.stdout.write(f"{place}: {finding['test_id']} {finding['issue_text']}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
