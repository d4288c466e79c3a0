"""The API keeps to its own description, whatever an administrator sends."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from wsgiref.types import WSGIApplication

import pytest
import schemathesis
from django.contrib.auth.models import Group, User
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import Case, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from access.choices import Role, Target
from access.models import Grant
from access.services import create_token
from discovery.models import Crawl, Range
from domains.models import Domain
from domains.services import mirror
from hosts.payloads import domain_list
from hosts.services import create_join_key
from hosts.trust import ClientIdentity
from tests.hosts.conftest import client_identity, dialable
from tests.hosts.factories import told_domain
from tests.hosts.journals import Journal, asked_for, played
from tests.hosts.peers import ok, problem

from .budget import WANTED, examples

__all__ = ["client_identity", "dialable"]  # fixtures

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SLOWEST: Final = 10.0


class Well(Journal):
    """A daemon that has no secrets from its owner."""

    def answer(self, method: str, path: str, body: bytes) -> bytes:
        if "/xml" in path:
            return ok(b"<domain type='test'/>", "application/xml")
        if path.endswith("/screenshot"):
            return ok(b"\x89PNG\r\n\x1a\n", "image/png")
        if not path.startswith(("/v1/host", "/v1/domains/", "/v1/operations/")):
            return problem(404, "not_found")
        return super().answer(method, path, body)


@pytest.fixture
def known(
    tmp_path: Path, client_identity: ClientIdentity, ada: User, sam: User
) -> Iterator[dict[str, object]]:
    """One object of each kind that an address may name, by its prefix."""
    journal, told = Well(), told_domain()
    journal.domains[told["uuid"]] = told
    with played(tmp_path, client_identity, journal) as host:
        mirror(host, domain_list({"domains": [told]}))
        network = Range.objects.create(cidr="127.0.0.0/24")
        key, _ = create_join_key(label="fuzz")
        token, _ = create_token(user=ada, name="known", scope="read")
        group = Group.objects.create(name="fuzz")
        yield {
            "hosts": host.pk,
            "domains": Domain.objects.get(host=host).pk,
            "ranges": network.pk,
            "crawls": Crawl.objects.create(range=network, phase="full").pk,
            "join-keys": key.pk,
            "operations": asked_for(host, ada).pk,
            "tokens": token.pk,
            "users": sam.pk,
            "groups": group.pk,
            "grants": Grant.objects.create(user=sam, role=Role.VIEWER, target=Target.EVERYTHING).pk,
        }


@pytest.fixture
def headers(ada: User) -> dict[str, str]:
    _, token = create_token(user=ada, name="fuzz", scope="administer")
    return {"Authorization": f"Token {token}"}


@pytest.fixture
def application() -> Iterator[WSGIApplication]:
    """The server, within the transaction of the test."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield get_wsgi_application()
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


@contextmanager
def undone() -> Iterator[None]:
    """Nothing that happens inside stays in the database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


class Ledger:
    """What was sent, and the first example of each failure."""

    def __init__(self) -> None:
        self.sent = 0
        self.slowest = (0.0, "")
        self.statuses: Counter[int] = Counter()
        self.failures: dict[tuple[str, str], str] = {}

    def note(self, case: Case[Any], answer: Response, seconds: float) -> None:
        self.sent += 1
        self.statuses[answer.status_code] += 1
        self.slowest = max(self.slowest, (seconds, case.operation.label))
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self.failures.setdefault((case.operation.label, str(failure).partition("\n")[0]), str(group))


def send(
    operation: APIOperation[Any, Any, Any, Any],
    parts: int,
    headers: dict[str, str],
    known: dict[str, object],
    ledger: Ledger,
) -> None:
    """Send what may be sent to one operation, half of it to an object that there is."""

    @examples(parts)
    @given(case=operation.as_strategy(), of_ours=st.booleans())
    def each(case: Case[Any], of_ours: bool) -> None:  # noqa: FBT001 -- Hypothesis gives it
        if of_ours and "id" in case.path_parameters:
            case.path_parameters["id"] = known[operation.path.split("/")[2]]
        with undone():
            begun = time.monotonic()
            answer = case.call(headers=headers)
            ledger.note(case, answer, time.monotonic() - begun)

    each()


@pytest.mark.django_db
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("redis_server", "dialable")
def test_the_api_keeps_to_its_description(
    application: WSGIApplication,
    headers: dict[str, str],
    known: dict[str, object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    description = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application, headers=headers)
    operations = [found.ok() for found in description.get_all_operations() if isinstance(found, Ok)]
    ledger = Ledger()
    for operation in operations:
        send(operation, len(operations), headers, known, ledger)
    if WANTED:
        with capsys.disabled():
            sys.stdout.write(f"\n{ledger.sent} to {len(operations)} operations, {dict(ledger.statuses)}\n")
    assert not ledger.failures, "\n\n".join(f"{key}\n{text}" for key, text in ledger.failures.items())
    assert ledger.slowest[0] < SLOWEST, ledger.slowest
