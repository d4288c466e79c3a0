"""What happens to an operation at the very moment at which something else happens to it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from doors import World, until
from hypervisors import RUNNING, domain_xml, fleet, running, uuid_of
from operating import OPEN, Local, Server, order, owner

from virshmanagerd import clock
from virshmanagerd.driver import Driver
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.errors import HypervisorBusy
from virshmanagerd.journal import Entry, Journal
from virshmanagerd.lane import Lane
from virshmanagerd.operations.documents import Document, document


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Local]:
    """`on` runs, `off` is off."""
    with running(Driver(fleet(tmp_path, domain_xml("on", state=RUNNING), domain_xml("off")))) as driver:
        local = Local(tmp_path, driver)
        yield local
        local.operations.stop()


class Held:
    """A method that does not go on until it is let go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.arrived, self.open = threading.Event(), threading.Event()
        real = getattr(owner, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self.arrived.set()
            assert self.open.wait(20)
            return real(*arguments, **more)

        monkeypatch.setattr(owner, name, call)


def _busy(*_: object, **_more: object) -> None:
    raise HypervisorBusy("stuck")


@pytest.mark.parametrize(("cancel", "verdict"), [(True, "cancelled"), (False, "expired")])
def test_what_ends_while_it_is_looked_at_does_not_wait_again(
    host: Local, monkeypatch: pytest.MonkeyPatch, *, cancel: bool, verdict: str
) -> None:
    """A hypervisor that does not answer is asked again after a long while."""
    monkeypatch.setattr(Driver, "facts", _busy)
    look = Held(monkeypatch, Driver, "facts")
    number = host.put("start", "off", deadline=60 if cancel else 0.1)
    assert look.arrived.wait(5)
    if cancel:
        assert host.operations.cancel(number)["state"] == "received"
    else:
        until(lambda: host.operations.get(number)["age"] > 0.1)
    look.open.set()
    assert host.verdict(number, 5)[0] == verdict


def test_a_verdict_is_never_told_in_part(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be read at any moment, without a lock."""
    read: list[Document] = []

    def write(entry: Entry, name: str, value: object) -> None:
        object.__setattr__(entry, name, value)
        if "rebooted" in vars(entry):  # the last one: it is whole
            read.append(document(entry, ""))

    monkeypatch.setattr(Entry, "__setattr__", write)
    refused, done = host.put("start", "on"), host.put("start", "off")
    assert [host.verdict(number)[0] for number in (refused, done)] == ["failed", "done"]
    ended = [found for found in read if found["state"] not in OPEN]
    assert ended
    assert all(found["result"] if found["state"] == "done" else found["problem"] for found in ended)


def test_libvirts_events_do_not_wait_for_the_disk(host: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keepalive and all timers are on that thread."""
    monkeypatch.setattr("libvirt.virDomain.shutdownFlags", lambda *_: 0)
    number = host.put("shutdown", "on", deadline=60)
    until(lambda: host.state(number) == "started")
    disk = Held(monkeypatch, Journal, "ask_cancel")
    cancelling = threading.Thread(target=host.operations.cancel, args=[number])
    cancelling.start()
    try:
        assert disk.arrived.wait(5)
        rung = threading.Event()
        LOOP.call_later(1.0, rung.set)  # by then the guest is looked at again
        assert rung.wait(5)
    finally:
        disk.open.set()
        cancelling.join()
    assert host.verdict(number) == ("cancelled", "")


@pytest.mark.parametrize(("begun", "verdict"), [(True, "unknown"), (False, "failed")])
def test_a_verb_of_a_younger_daemon_holds_up_no_other(host: Local, *, begun: bool, verdict: str) -> None:
    """The package was put back to an older version."""
    first, second = (
        Entry(
            id=str(uuid.uuid4()),
            fingerprint="",
            verb=verb,
            target={"type": "domain", "uuid": uuid_of("off")},
            args={},
            precondition={},
            deadline=clock.now() + 60,
        )
        for verb in ("teleport", "start")
    )
    journal = Journal(host.folder)
    journal.receive(first, at_once=False)
    if begun:
        journal.start(first.id, {})
    journal.receive(second, at_once=False)
    journal.close()
    assert host.verdict(first.id) == (verdict, "not_supported")
    assert host.verdict(second.id) == ("done", "")


@pytest.fixture
def server(world: World, authority: Authority, tmp_path: Path) -> Iterator[Server]:
    """The owner of a host whose domain `off` is off."""
    with owner(world, authority, tmp_path, domain_xml("off")) as server:
        yield server


def test_who_has_given_up_is_not_heard(server: Server, world: World, authority: Authority) -> None:
    """A stopped daemon finds in its sockets what the server has called expired long ago."""
    number = str(uuid.uuid4())
    session = server.host.session(authority.server())
    assert session.request("GET", "/v1/domains").status == 200
    held, gate = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        gate.wait(10)

    world.engine.call(hold)
    assert held.wait(10)
    client = HTTPConnection(*server.host.address)
    client.sock = session.socket
    client.request("PUT", f"/v1/operations/{number}", json.dumps(order("start", "off")))
    client.close()
    session.socket.close()
    gate.set()
    assert server.row("off")["state"] == "shutoff"
    assert server.send("GET", f"/v1/operations/{number}").status == 404


def test_a_deadline_counts_from_the_arrival(
    server: Server, world: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All threads may be waiting for a libvirt that does not answer."""
    monkeypatch.setattr(world.engine, "proven_lane", Lane("one", threads=1, backlog=9))
    listing = Held(monkeypatch, Driver, "domains")
    with server.host.session(authority.server()) as other:
        reading = threading.Thread(target=other.request, args=["GET", "/v1/domains"])
        reading.start()
        try:
            assert listing.arrived.wait(5)
            client = HTTPConnection(*server.host.address)
            client.sock = server.session.socket
            number = str(uuid.uuid4())
            client.request("PUT", f"/v1/operations/{number}", json.dumps(order("start", "off", deadline=0.2)))
            since = clock.now()
            until(lambda: clock.now() > since + 1)
        finally:
            listing.open.set()
            reading.join()
        assert client.getresponse().status in {200, 202}
        until(lambda: other.request("GET", f"/v1/operations/{number}").json["state"] not in OPEN)
        assert other.request("GET", f"/v1/operations/{number}").json["state"] == "expired"


def test_no_more_are_open_than_can_be_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sends it again; forcing off is always taken."""
    monkeypatch.setattr("virshmanagerd.operations.MOST_OPEN", 2)
    look = Held(monkeypatch, Driver, "facts")
    first, second = server.put("start", "off"), server.put("suspend", "off")
    refused = server.put("resume", "off")
    assert (refused.status, refused.json["type"], refused.headers["Retry-After"]) == (503, "queue_full", "1")
    assert server.put("start", "off", number=first.json["id"]).status == 202
    off = server.put("destroy", "off")
    look.open.set()
    assert [server.verdict(answer)["state"] for answer in (first, second, off)] == ["done"] * 3
    assert server.put("resume", "off").status == 202
