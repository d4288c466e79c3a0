"""The house keeps its order: who imports whom, and which files an app is made of, as pyproject.toml says."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR
SERVER = ("virshmanager", "access", "hosts", "discovery", "domains")
LONGEST_FILE = 320

# One offence against each contract, or more.
OFFENCES = {
    "hosts/helpers.py": "",
    "virshmanager/helpers.py": "import hosts.trust.signer.vault",
    "domains/services/stray.py": "import discovery.models",
    "hosts/services/stray.py": "import libvirt, nmap, requests, websockets, wsproto, simulator",
    "simulator/stray.py": "import hosts.models",
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the packages below `folder` by the rules there."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_each_rule_notices_who_breaks_it(tmp_path: Path) -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for package in (*SERVER, "simulator"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, code in OFFENCES.items():
        (tmp_path / path).write_text(f"{code}\n")
    ended = lint_imports(tmp_path)
    kept = [rule["name"] for rule in rules if f"{rule['name']} BROKEN" not in ended.stdout]
    assert not kept, ended.stdout + ended.stderr
    assert "helpers" in ended.stdout


def test_the_house_keeps_its_rules() -> None:
    ended = lint_imports(ROOT)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("package", SERVER)
def test_no_file_outgrows_its_idea(package: str) -> None:
    files = (path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts)
    lengths = {str(path): len(path.read_text().splitlines()) for path in files}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_FILE}


def test_hosts_does_not_reach_siblings_through_the_database() -> None:
    from discovery.models import Address, Range
    from domains.models import Domain
    from hosts.models import Host

    related = {
        relation.related_model for relation in Host._meta.related_objects if relation.get_accessor_name()
    }
    assert not related & {Address, Domain, Range}
