"""Add up the JUnit files of several pytest runs and print one line: `python -m tests.summary FILE...`."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

KINDS = ("tests", "failures", "errors", "skipped")


def main(paths: list[str]) -> int:
    total: Counter[str] = Counter()
    for path in paths:
        for suite in ElementTree.fromstring(Path(path).read_bytes()).iter("testsuite"):  # noqa: S314
            total.update({kind: int(suite.get(kind, 0)) for kind in KINDS})
    failed = total["failures"] + total["errors"]
    passed = total["tests"] - failed - total["skipped"]
    sys.stdout.write(f"{passed} passed, {failed} failed, {total['skipped']} skipped\n")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
