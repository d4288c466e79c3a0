"""The audit's page, list and export: for administrators alone, filtered, and never whole in memory."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from access import audit, exporting, services
from access.choices import Action, Result
from access.models import AuditEntry

pytestmark = pytest.mark.django_db

PATHS = ["/audit/", "/audit/export/", "/api/audit/", "/api/audit/export/"]


def denied(number: int, **told: Any) -> None:
    audit.record(Action.HOST_DENY, audit.Target("host", number, f"host-{number}"), **told)


def lines(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.getvalue().decode().splitlines()]


@pytest.mark.parametrize("path", PATHS)
def test_only_an_administrator_reads_it(stranger: Client, sam: User, path: str) -> None:
    assert stranger.get(path).status_code == (401 if path.startswith("/api/") else 302)
    stranger.force_login(sam, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert stranger.get(path).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_nobody_writes_it(browser: Client, api: APIClient, path: str) -> None:
    client = api if path.startswith("/api/") else browser
    for method in (client.post, client.put, client.patch, client.delete):
        assert method(path).status_code == 405


@pytest.mark.parametrize(
    "query",
    [
        *("action=nonsense", "result=x", "via=telepathy", "after=yesterday"),
        *("after=0001-01-01T00:00:00%2B14:00", "before=9999-12-31T23:59:59-14:00"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(browser: Client, api: APIClient, query: str) -> None:
    assert api.get(f"/api/audit/?{query}").status_code == 400
    assert api.get(f"/api/audit/export/?{query}").status_code == 400
    assert browser.get(f"/audit/export/?{query}").status_code == 400
    page = browser.get(f"/audit/?{query}")
    assert page.status_code == 200
    assert "A filter in the address is not known" in page.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"actor": "ada"}, {1}),
        ({"action": ["host.deny", "host.retire"]}, {1, 2, 3}),
        ({"action": "host.retire"}, {3}),
        ({"result": "refused"}, {2}),
        ({"target": "host-2"}, {2}),
        ({"target_type": "host", "target_id": "3"}, {3}),
        ({"search": "host-1 ada"}, {1}),
        ({"before": (timezone.now() - timedelta(hours=1)).isoformat()}, set()),
        ({"after": (timezone.now() - timedelta(hours=1)).isoformat(), "actor": "ada"}, {1}),
    ],
)
def test_page_list_and_export_have_the_same_filters(
    browser: Client, api: APIClient, ada: User, query: dict[str, Any], found: set[int]
) -> None:
    denied(1, actor=ada)
    denied(2, result=Result.REFUSED, problem="still_owned")
    audit.record(Action.HOST_RETIRE, audit.Target("host", 3, "host-3"))
    audit.chain_waiting()
    names = {f"host-{number}" for number in found}

    def hosts(rows: list[dict[str, Any]]) -> set[str]:
        return {row["target"]["name"] for row in rows if row["target"]["type"] == "host"}

    assert hosts(api.get("/api/audit/", query).json()["results"]) == names
    assert hosts(lines(api.get("/api/audit/export/", query))) == names
    assert hosts(lines(browser.get("/audit/export/", query))) == names
    page = browser.get("/audit/", query)
    assert {row.target_name for row in page.context["entries"] if row.target_type == "host"} == names
    assert 'class="filter-fields"' in page.content.decode()


def test_the_page_shows_hostile_names_as_text(browser: Client) -> None:
    audit.record(Action.HOST_DENY, audit.Target("host", 1, "<img src=x onerror=alert(1)>"))
    page = browser.get("/audit/").content.decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_the_export_is_the_chain_in_its_order(api: APIClient) -> None:
    for number in range(5):
        denied(number)
    audit.chain_waiting()
    denied(9)
    answer = api.get("/api/audit/export/")
    assert answer["Content-Type"] == "application/jsonl"
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Disposition"].startswith('attachment; filename="audit-')
    rows = lines(answer)
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["previous_hash"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]
    assert "host-9" not in {row["target"]["name"] for row in rows}


def test_the_command_prints_the_same_lines(api: APIClient, capsys: pytest.CaptureFixture[str]) -> None:
    denied(1)
    audit.chain_waiting()
    call_command("audit", "export")
    printed = capsys.readouterr().out
    assert [json.loads(line) for line in printed.splitlines()] == lines(api.get("/api/audit/export/"))


def test_the_export_reads_a_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ROWS", 10)
    audit.record_all([audit.row(Action.LOGIN) for _ in range(35)])
    audit.chain_waiting()
    pieces = exporting.pieces(AuditEntry.objects.all())
    with CaptureQueriesContext(connection) as queries:
        first = next(pieces)
    assert (len(queries), len(first.splitlines())) == (1, 10)
    assert sum(len(piece.splitlines()) for piece in pieces) == 25


@pytest.mark.django_db(transaction=True)
def test_an_asgi_server_sends_it_piece_by_piece(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvicorn would: the first piece is sent before the last is read."""
    monkeypatch.setattr(exporting, "ROWS", 10)
    audit.record_all([audit.row(Action.LOGIN) for _ in range(35)])
    _, token = services.create_token(user=ada, name="export")
    audit.chain_waiting()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/api/audit/export/",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Token {token}".encode())],
        "client": ["127.0.0.1", 1],
    }

    async def talk() -> list[dict[str, Any]]:
        server: Any = ApplicationCommunicator(get_asgi_application(), scope)  # type: ignore[no-untyped-call]
        await server.send_input({"type": "http.request", "body": b""})
        messages: list[dict[str, Any]] = [await server.receive_output(30), await server.receive_output(30)]
        while messages[-1].get("more_body"):
            messages.append(await server.receive_output(30))
        await server.wait(30)
        return messages

    start, *bodies = asyncio.run(talk())
    assert start["status"] == 200
    parts = [len(body["body"].splitlines()) for body in bodies if body.get("body")]
    assert parts[:3] == [10, 10, 10]
    assert sum(parts) == AuditEntry.objects.count()
