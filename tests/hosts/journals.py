"""A daemon that is played: its journal of operations, behind real TLS and HTTP, to be led by a test."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import parse_headers
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from hosts.agent import agent_of, hang_up
from hosts.choices import TargetType
from hosts.models import Host, Operation
from hosts.services import accept, carry
from hosts.services.operations import BulkTarget, accept_bulk
from hosts.trust import ClientIdentity

from .factories import a_host, told_domain, told_host
from .owned import Owned
from .peers import Peer, ok, problem, response

# What goes wrong with the next exchange: the request is lost, the answer is, or nothing comes at all.
Fault = Literal["drop_request", "drop_answer", "hang"]
PROBLEM_JSON = {"Content-Type": "application/problem+json"}


class Journal:
    """Keeps the contract as a well daemon does. `ends` is the state that a new operation has at once.

    `ran` are the operations that libvirt was asked for, in order: an id twice is a broken promise.
    """

    def __init__(self) -> None:
        self.journal_id = "journal-1"
        self.ends = "done"
        self.operations: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, dict[str, Any]] = {}
        self.domains: dict[str, dict[str, Any]] = {}
        self.ran: list[str] = []
        self.acknowledged: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.refuses: tuple[int, str] | None = None
        self.host_id = ""
        self.lock = threading.Lock()
        self.released = threading.Event()

    def lose(self) -> None:
        """The disk was replaced: nothing is known, and the journal has a new name."""
        self.journal_id = str(uuid4())
        self.operations.clear()

    def settle(self, operation_id: object, state: str, **more: Any) -> dict[str, Any]:
        """Move an operation; return its document."""
        self.operations[str(operation_id)] |= {"state": state, **more}
        return self.operations[str(operation_id)]

    def answer(self, method: str, path: str, body: bytes) -> bytes:
        with self.lock:
            self.requests.append((method, path))
            parts = path.strip("/").split("/")
            if parts[1] == "host":
                return ok(told_host(self.host_id, journal_id=self.journal_id))
            if parts[1] == "domains":
                return (
                    ok(self.domains[parts[2]]) if parts[2] in self.domains else problem(404, "no_such_domain")
                )
            if parts[2:] == ["acknowledge"]:
                self.acknowledged += json.loads(body)["ids"]
                return ok({"acknowledged": 1})
            return self._operation(method, parts[2], body)

    def _operation(self, method: str, operation_id: str, body: bytes) -> bytes:
        if method == "PUT":
            return self._put(operation_id, json.loads(body))
        if operation_id not in self.operations:
            return problem(404, "no_such_operation")
        if method == "POST":
            if self.operations[operation_id]["state"] != "received":
                return problem(409, "not_cancellable")
            self.settle(operation_id, "cancelled", problem={"type": "cancelled", "detail": "."})
        return ok(self.operations[operation_id])

    def _put(self, operation_id: str, asked: dict[str, Any]) -> bytes:
        if operation_id in self.operations:
            return ok(self.operations[operation_id])
        if self.refuses is not None:
            return problem(*self.refuses)
        if asked.get("journal_id", self.journal_id) != self.journal_id:
            return problem(409, "journal_changed")
        self.asked[operation_id] = asked
        self.operations[operation_id] = {
            "id": operation_id,
            "journal_id": self.journal_id,
            "verb": asked["verb"],
            "target": asked["target"],
            "state": self.ends,
            "progress": None,
            "result": self._result(asked),
            "problem": None,
            "age": 0,
        }
        if self.ends in {"started", "done", "failed", "unknown"}:
            self.ran.append(operation_id)
        return response(202, self.operations[operation_id], {"Content-Type": "application/json"})

    def _result(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.ends != "done" or asked["target"]["type"] != "domain":
            return {}
        uuid = asked["target"]["uuid"]
        known = self.domains.get(uuid) or told_domain(uuid=uuid)
        return {"domain": known | {"state": "running"}}

    def talk(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while line := stream.readline():
                headers = parse_headers(stream)
                body = stream.read(int(headers.get("content-length", 0)))
                method, path = line.decode().split(" ")[:2]
                fault = self.faults.pop(0) if self.faults else None
                if fault == "drop_request":
                    return
                if fault == "hang":
                    self.released.wait(20)
                    return
                answer = self.answer(method, path, body)
                if fault == "drop_answer":
                    return
                connection.sendall(answer)


@contextmanager
def played(folder: Path, client: ClientIdentity, journal: Journal, **fields: Any) -> Iterator[Host]:
    """The stored row of a host whose daemon is played by `journal`."""
    owned = Owned(folder, client)
    journal.host_id = str(owned.id)
    with Peer(journal.talk, owned.context()) as peer:
        values = {"journal_id": journal.journal_id, "hostname": "hv-01"} | fields
        host = a_host(uuid=owned.id, address=peer.ip, port=peer.port, **values)
        try:
            yield host
        finally:
            journal.released.set()
            hang_up(host)


def asked_for(host: Host, actor: User, verb: str = "start", **more: Any) -> Operation:
    """An accepted operation on a domain of the host. `seconds` is its deadline."""
    seconds = more.pop("seconds", 60)
    values: dict[str, Any] = {
        "target_type": TargetType.DOMAIN,
        "target_id": 1,
        "target_uuid": uuid4(),
        "target_name": "web",
        "args": {},
        "fingerprint": "f",
        "here": True,
    }
    return accept(host=host, verb=verb, actor=actor, deadline=timedelta(seconds=seconds), **values | more)


def bulk_of(hosts: list[Host], actor: User, *, stop_on_failure: bool = False) -> Operation:
    """An accepted operation on many, with one part on each of these hosts."""
    return accept_bulk(
        verb="start",
        targets=[BulkTarget(place, host.uuid, "web", host.pk, "hv-01") for place, host in enumerate(hosts)],
        skipped=[],
        skipped_total=0,
        options={},
        deadline=timedelta(seconds=60),
        stagger=timedelta(),
        stop_on_failure=stop_on_failure,
        actor=actor,
    )


def due_now(operation: Operation) -> Operation:
    """Let its back-off be over."""
    Operation.objects.filter(pk=operation.pk).update(due_at=timezone.now())
    return fresh(operation)


def too_late(operation: Operation, minutes: float = 0.0) -> Operation:
    """Let its deadline be over, for so many minutes."""
    past = timezone.now() - timedelta(minutes=minutes, milliseconds=1)
    Operation.objects.filter(pk=operation.pk).update(deadline=past)
    return due_now(operation)


def open_for_long(host: Host) -> None:
    """Open the breaker of a host: it failed so often that nobody tries it for half a minute, who need not."""
    for _ in range(10):
        agent_of(host).line.breaker.failed()


def fresh(operation: Operation) -> Operation:
    return Operation.objects.select_related("host").get(pk=operation.pk)


def carried(operation: Operation) -> Operation:
    carry(operation.pk)
    return fresh(operation)


def word(operation: Operation) -> str:
    """The stable word of its problem."""
    assert operation.problem is not None
    return str(operation.problem["type"])


def moves_of(operation: Operation) -> list[str]:
    """The states it went through, without the notes between."""
    states: list[str] = []
    for state in operation.events.values_list("state", flat=True):
        if states[-1:] != [state]:
            states.append(state)
    return states
