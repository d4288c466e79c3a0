"""The house keeps its order: who imports whom, and which files an app is made of."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR
APPS = ("access", "hosts", "discovery", "domains")
# Knowing one app is knowing all: the names an idea may have in each.
SHARED_NAMES = {
    *("__init__", "admin", "api", "apps", "choices", "consumers", "errors", "filters", "forms", "models"),
    *("pages", "serializers", "services", "tasks", "urls", "management", "migrations", "templatetags"),
}
# What one app alone is about.
OWN_NAMES = {
    "access": {
        *("adapter", "authentication", "checks", "listing", "looking", "middleware", "permissions", "schema"),
        *("requests", "searching"),
    },
    "hosts": {
        *("agent", "breaker", "enrolment", "guards", "identify", "live", "payloads", "siblings", "signals"),
        *("strangers", "trust"),
    },
    "discovery": {"networks", "scanner"},
    "domains": set[str](),
}
LONGEST_FILE = 450


def modules(app: str) -> Iterator[Path]:
    return (path for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def test_imports_keep_their_direction() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("app", APPS)
def test_an_app_is_made_of_the_known_files(app: str) -> None:
    names = {
        path.stem
        for path in (ROOT / app).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert names <= SHARED_NAMES | OWN_NAMES[app]


@pytest.mark.parametrize("app", APPS)
def test_the_api_and_the_pages_do_not_know_each_other(app: str) -> None:
    for path in modules(app):
        text = path.read_text()
        if path.name == "api.py":
            assert "import pages" not in text
            assert "from .pages" not in text
        if path.name == "pages.py":
            assert "import api" not in text
            assert "from .api" not in text


@pytest.mark.parametrize("app", [*APPS, "virshmanager"])
def test_no_file_outgrows_its_idea(app: str) -> None:
    lengths = {str(path): len(path.read_text().splitlines()) for path in modules(app)}
    assert not {path: length for path, length in lengths.items() if length > LONGEST_FILE}


def test_the_daemon_is_an_island() -> None:
    ours = {*APPS, "virshmanager", "django", "rest_framework"}
    for path in (ROOT / "daemon" / "virshmanagerd").rglob("*.py"):
        assert not {name for name in imports(path) if name.partition(".")[0] in ours}, path


def test_hosts_does_not_reach_siblings_through_the_database() -> None:
    from discovery.models import Address, Range
    from domains.models import Domain
    from hosts.models import Host

    related = {
        relation.related_model for relation in Host._meta.related_objects if relation.get_accessor_name()
    }
    assert not related & {Address, Domain, Range}
