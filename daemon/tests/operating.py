"""A server that orders operations from a host, for tests."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from doors import Answer, Host, Session, World, until
from hypervisors import answers, fleet, uuid_of

from virshmanagerd import clock
from virshmanagerd.driver import Driver
from virshmanagerd.errors import DriverError
from virshmanagerd.operations import Document, Operations

OPEN = {"received", "started"}


def order(verb: str, name: str | None = None, **more: object) -> dict[str, Any]:
    """The body of an order for the domain of this name, or for the host."""
    target = {"type": "domain", "uuid": uuid_of(name)} if name else {"type": "host"}
    return {"verb": verb, "target": target, "args": {}, "deadline": 10, **more}


class Local:
    """Operations without the wire: one process's life of a daemon, as far as they need one."""

    def __init__(self, folder: Path, driver: Driver) -> None:
        self.folder = folder
        self.driver = driver
        self.told: list[tuple[str, str]] = []
        self.operations = Operations(folder, driver, self._hear)

    def _hear(self, document: Document) -> None:
        self.told.append((document["id"], document["state"]))

    def put(self, verb: str, name: str | None = None, *, number: str = "", **more: object) -> str:
        """Order something; its id."""
        document = self.operations.put(number or str(uuid.uuid4()), order(verb, name, **more), clock.now())
        assert document["state"] in {*OPEN, "done"}, document
        return document["id"]

    def state(self, number: str) -> str:
        """The state of an operation."""
        return self.operations.get(number)["state"]

    def waits(self, number: str) -> bool:
        """Whether nothing is done for an operation until a timer, or who hurries it."""
        work = self.operations._runner.find(number)
        return work is not None and work.next_step is not None

    def is_held_up(self, number: str) -> bool:
        """Whether an operation could not begin when it was its turn."""
        work = self.operations._runner.find(number)
        return work is not None and work.obstacle is not None

    def verdict(self, number: str, seconds: float = 10) -> tuple[str, str]:
        """How an operation has ended, and the type of its problem."""
        until(lambda: self.state(number) not in OPEN, seconds)
        document = self.operations.get(number)
        return document["state"], (document["problem"] or {}).get("type", "")

    def done(self, verb: str, name: str | None = None, *, seconds: float = 20, **more: object) -> Any:
        """Order something that will be done; its result."""
        number = self.put(verb, name, number="", **more)
        verdict = self.verdict(number, seconds)
        assert verdict == ("done", ""), (verb, self.operations.get(number))
        return self.operations.get(number)["result"]

    def again(self) -> Local:
        """Another process over the same state directory."""
        self.operations.stop()
        return Local(self.folder, self.driver)


@dataclasses.dataclass
class Server:
    """The owner, on one connection."""

    host: Host
    session: Session

    def put(
        self, verb: str, name: str | None = None, args: object = None, *, number: str = "", **more: object
    ) -> Answer:
        """Order something of the domain of this name, or of the host."""
        body = {**order(verb, name), "args": args or {}, **more}
        return self.send("PUT", f"/v1/operations/{number or uuid.uuid4()}", body)

    def send(self, method: str, path: str, body: object = None) -> Answer:
        """One request."""
        return self.session.request(method, path, None if body is None else json.dumps(body).encode())

    def document(self, number: str) -> dict[str, Any]:
        """What has become of an operation."""
        answer = self.send("GET", f"/v1/operations/{number}")
        assert answer.status == 200, answer.json
        return dict(answer.json)

    def verdict(self, answer: Answer, seconds: float = 10) -> dict[str, Any]:
        """The document of an operation that was put, once it has ended."""
        assert answer.status in {200, 202}, answer.json
        number = answer.json["id"]
        until(lambda: self.document(number)["state"] not in OPEN, seconds)
        return self.document(number)

    def did(self, verb: str, name: str | None = None, args: object = None, **more: Any) -> dict[str, Any]:
        """The verdict of an order."""
        return self.verdict(self.put(verb, name, args, **more))

    def row(self, name: str) -> dict[str, Any]:
        """A domain as in the list."""
        domains = self.send("GET", "/v1/domains").json["domains"]
        return next(dict(domain) for domain in domains if domain["uuid"] == uuid_of(name))


@contextmanager
def owner(world: World, authority: Authority, folder: Path, *domains: Any) -> Iterator[Server]:
    """The owner of a host that has exactly these domains."""
    config = dataclasses.replace(world.config(), uri=fleet(folder, *domains))
    host = world.owned(authority, config)
    host.daemon.driver.start()
    try:
        until(lambda: answers(host.daemon.driver))
        with host.session(authority.server()) as session:
            yield Server(host, session)
    finally:
        host.daemon.operations.stop()
        host.daemon.driver.stop()


def fail_looks(monkeypatch: pytest.MonkeyPatch, error: DriverError) -> None:
    """Let the first three looks at domains fail."""
    failing, real = [error] * 3, Driver.facts

    def look(driver: Driver, uuid: str, **more: bool) -> object:
        if failing:
            raise failing.pop()
        return real(driver, uuid, **more)

    monkeypatch.setattr(Driver, "facts", look)
