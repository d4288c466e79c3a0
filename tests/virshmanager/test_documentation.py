"""What the documentation promises is there, and what is there is documented."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from django.conf import settings
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from rest_framework.exceptions import APIException

from access.choices import Action
from discovery.errors import NoCrawl
from domains.errors import DomainError
from hosts.errors import SENTENCES
from virshmanager import errors

API = (settings.BASE_DIR / "docs" / "api.md").read_text()
SETTINGS = (settings.BASE_DIR / "docs" / "settings.md").read_text()
Kind = TypeVar("Kind")
OWN = {"rest_framework", "virshmanager", "access", "hosts", "discovery", "domains"}
VERBS = {"get", "post", "put", "patch", "delete"}


def offered() -> set[str]:
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return {
        f"{verb.upper()} {path}" for path, item in schema["paths"].items() for verb in item if verb in VERBS
    } | {f"GET {path}" for path in ("/api/", "/api/schema/", "/api/docs/", "/healthz", "/readyz", "/metrics")}


def subclasses(kind: type[Kind]) -> Iterator[type[Kind]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def problem_types() -> set[str]:
    """Every word that can be the `type` of a problem, found in the code."""
    known = {
        kind.default_code for kind in subclasses(APIException) if kind.__module__.partition(".")[0] in OWN
    }
    source = ast.parse(Path(errors.__file__).read_text())
    answers = {
        call.args[1].value
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "_answer"
        if isinstance(call.args[1], ast.Constant)
    }
    outages = {errors.DATABASE_GONE.type, errors.REDIS_GONE.type, errors.DISK_FULL.type}
    refusals = {kind.problem for kind in subclasses(DomainError)} | {
        kind.problem for kind in subclasses(NoCrawl)
    }
    return {str(word) for word in known | answers | outages | refusals | set(SENTENCES)}


def test_the_schema_is_valid_and_without_warnings(tmp_path: Path) -> None:
    call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(tmp_path / "schema.yml"))


def test_every_route_is_documented_and_every_documented_route_is_there() -> None:
    documented = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]*)`", API))
    assert documented == offered()


@pytest.mark.parametrize("word", sorted(problem_types()))
def test_every_problem_type_is_documented(word: str) -> None:
    assert f"`{word}`" in API.partition("## Problems")[2]


@pytest.mark.parametrize("word", Action.values)
def test_every_action_of_the_audit_is_documented(word: str) -> None:
    assert f"`{word}`" in (settings.BASE_DIR / "docs" / "audit.md").read_text()


def settings_read() -> set[str]:
    texts = {
        node.value
        for module in ("settings", "environment", "signing")
        for node in ast.walk(ast.parse((settings.BASE_DIR / "virshmanager" / f"{module}.py").read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if re.fullmatch(r"VIRSHMANAGER_[A-Z_]+|[A-Z]+_URL", text)}


def test_every_setting_is_documented_and_every_documented_setting_is_there() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", SETTINGS, flags=re.MULTILINE))
    assert documented == settings_read()
