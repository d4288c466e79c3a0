"""pip-audit, read with care: `python -m tests.lint.advisories REQUIREMENTS`.

It says "No known vulnerabilities found" also of packages that it could not ask about. Those are told here,
loudly, and fail nothing: without a network nobody can know.
"""

import json
import subprocess
import sys
from typing import Any, Final

SECONDS: Final = 120
OPTIONS: Final = ("--no-deps", "--disable-pip", "--timeout", "5", "-f", "json")

Package = dict[str, Any]


def report(requirements: str) -> list[Package] | None:
    """What pip-audit tells of each package; None when it tells nothing."""
    command = [sys.executable, "-m", "pip_audit", "-r", requirements, *OPTIONS]
    try:
        told = subprocess.run(command, stdout=subprocess.PIPE, timeout=SECONDS, check=False).stdout
        packages: list[Package] = json.loads(told)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    return packages


def verdict(packages: list[Package] | None) -> tuple[int, list[str]]:
    """The status to end with, and the lines to print."""
    if packages is None:
        return 0, ["NOT CHECKED: pip-audit gave no report."]
    weak = [line for package in packages for line in _weaknesses(package)]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = [*weak]
    if skipped:
        lines.append(f"NOT CHECKED: {len(skipped)} of {len(packages)} packages: {', '.join(skipped)}")
    lines.append(f"{len(packages) - len(skipped)} packages were checked, {len(weak)} weaknesses are known.")
    return (1 if weak else 0), lines


def _weaknesses(package: Package) -> list[str]:
    return [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions'])}"
        for flaw in package.get("vulns", ())
    ]


def main(requirements: str) -> int:
    status, lines = verdict(report(requirements))
    sys.stdout.write("\n".join(lines) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
