"""`python -m benchmarks.tools.recorder TIMES ROWS`: what a recorded request costs.

It works on the state of VIRSHMANAGER_HOME, by the application itself, without a socket. Prints its figures as
JSON.
"""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from unittest.mock import patch

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")
django.setup()

from django.conf import settings  # noqa: E402 -- Django must be set up first
from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from access import audit  # noqa: E402
from access.audit import writing  # noqa: E402
from access.choices import Action, Scope  # noqa: E402
from access.exporting import pieces  # noqa: E402
from access.models import AuditEntry  # noqa: E402
from access.services import create_token  # noqa: E402
from discovery.services import create_range  # noqa: E402

OK = HTTPStatus.OK
MIDDLEWARE = "access.middleware.AuditMiddleware"
ROW_BYTES = "SELECT SUM(pgsize) FROM dbstat WHERE name LIKE 'access_auditentry%'"
AT_ONCE = 10_000


def client(middleware: list[str]) -> APIClient:
    """A program of an administrator's, whose requests pass these. They are loaded by its first request."""
    settings.MIDDLEWARE = middleware
    user, _ = User.objects.get_or_create(username="ada", is_superuser=True)
    _, token = create_token(user=user, name="bench", scope=Scope.ADMINISTER)
    made = APIClient(SERVER_NAME="localhost")
    made.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    read(made, "/api/ranges/")
    return made


def read(program: APIClient, path: str) -> None:
    answer = program.get(path)
    if answer.status_code != OK:
        raise RuntimeError(answer.content)


def seconds(do: Callable[[], Any]) -> float:
    """The processor time that it takes: nothing here waits for anybody, and other work does not count."""
    start = time.process_time()
    do()
    return time.process_time() - start


def unrecorded(do: Callable[[], Any]) -> float:
    """The same where nothing is written into the audit."""
    with patch.object(writing, "record", lambda *_, **__: None):
        return seconds(do)


def fill(rows: int) -> None:
    target = audit.Target("host", 1, "hv-01.rack-4.example.net")
    detail = {"verb": "shutdown", "host": "hv-01.rack-4.example.net", "operation": "0" * 36}
    for _ in range(0, rows, AT_ONCE):
        audit.record_all([audit.row(Action.OPERATION_END, target, detail=detail) for _ in range(AT_ONCE)])


def main() -> None:
    times, rows = map(int, sys.argv[1:])
    everything = list(settings.MIDDLEWARE)
    without = client([name for name in everything if name != MIDDLEWARE])
    api = client(everything)
    path = f"/api/ranges/{create_range(cidr='198.51.100.0/24').pk}/"
    labels = iter(range(2 * times))

    def write() -> None:
        answer = api.patch(path, {"label": str(next(labels))}, format="json")
        if answer.status_code != OK:
            raise RuntimeError(answer.content)

    figures: dict[str, Any] = {"recorded": [], "unrecorded": [], "read": [], "read_without": []}
    for _ in range(times):
        figures["recorded"].append(seconds(write))
        figures["unrecorded"].append(unrecorded(write))
        figures["read"].append(seconds(lambda: read(api, "/api/ranges/")))
        figures["read_without"].append(seconds(lambda: read(without, "/api/ranges/")))
    audit.chain_waiting()
    fill(rows)
    figures["chain"] = seconds(audit.chain_waiting) / rows
    figures["verify"] = seconds(audit.verify)
    figures["export"] = seconds(lambda: deque(pieces(AuditEntry.objects.all()), maxlen=0))
    figures["page"] = seconds(lambda: read(api, "/api/audit/"))
    with connection.cursor() as cursor:
        cursor.execute(ROW_BYTES)
        figures["row_bytes"] = cursor.fetchone()[0] / AuditEntry.objects.count()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
