"""What was given up never arrives later: a partition holds it back, and then lets all through again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.server import ServerConnection

from hosts import guards
from hosts.agent import agent_of, deadlines, hang_up, stream
from hosts.errors import TimedOut
from hosts.models import Host
from hosts.trust import ClientIdentity
from tests.lab.machine import wait_for
from tests.networks import Namespace, Segment

from .daemons import PlayedDaemon
from .factories import told_host
from .owned import Owned
from .peers import Peer, http, ok

pytestmark = pytest.mark.network

SERVER, HYPERVISOR = "10.78.4.1", "10.78.4.2"
CUT = "add table inet cut; add chain inet cut c {{ type filter hook {} priority 0; policy drop; }}"


@dataclass
class Wire:
    """Between a server and a hypervisor."""

    server: Namespace
    hypervisor: Namespace

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nothing arrives at the hypervisor; what it sends is lost with it, as it acknowledges nothing."""
        self.hypervisor.run("nft", CUT.format("input"))
        try:
            yield
        finally:
            self.hypervisor.run("nft", "delete table inet cut")

    def connections(self) -> str:
        """The server's connections, whoever holds them: a process, or the kernel alone."""
        return self.server.run("ss", "-Htan").stdout


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The test itself stands where the server is."""
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip == HYPERVISOR])
    with Segment("10.78.4.0/24") as segment:
        wire = Wire(segment.host("server", SERVER), segment.host("hypervisor", HYPERVISOR))
        with wire.server.entered():
            yield wire


@pytest.fixture
def asked() -> list[str]:
    """The paths of the requests that arrived."""
    return []


@pytest.fixture
def host(wire: Wire, asked: list[str], tmp_path: Path, client_identity: ClientIdentity) -> Iterator[Host]:
    owned = Owned(tmp_path, client_identity)

    def answer(path: str) -> bytes:
        asked.append(path)
        return ok(told_host(owned.id))

    with wire.hypervisor.entered():
        peer = Peer(http(answer), owned.context(), HYPERVISOR)
    with peer:
        host = owned.host(peer)
        yield host
        hang_up(host)


def test_an_order_that_was_given_up_does_not_arrive_late(wire: Wire, host: Host, asked: list[str]) -> None:
    agent = agent_of(host)
    agent.host()
    with wire.cut():
        with pytest.raises(TimedOut) as failure:
            agent.put_operation(uuid4(), {"verb": "destroy"}, within=0.5)
        assert failure.value.may_have_arrived
        assert wire.connections() == ""
    agent.host()
    assert asked == ["/v1/host"] * 2


def test_the_kernel_gives_up_for_a_process_that_hangs(
    wire: Wire, host: Host, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, goes_on = agent_of(host), threading.Event()
    agent.host()

    def hang(*_: Any, **_more: Any) -> int:
        assert goes_on.wait(30)
        raise TimeoutError

    def order() -> None:
        with pytest.raises(TimedOut):
            agent.put_operation(uuid4(), {"verb": "destroy"}, within=0.5)

    monkeypatch.setattr(deadlines.DeadlineSocket, "recv_into", hang)
    monkeypatch.setattr(deadlines, "GRACE", 60)  # of threads, which hang as well
    caller = threading.Thread(target=order)
    with wire.cut():
        caller.start()
        try:
            wait_for(lambda: "ESTAB" not in wire.connections(), "the kernel gives up", deadline=5)
        finally:
            goes_on.set()
            caller.join()
    assert asked == ["/v1/host"]


@pytest.mark.django_db(transaction=True)
async def test_what_was_typed_into_a_lost_console_does_not_arrive_late(
    wire: Wire, tmp_path: Path, client_identity: ClientIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PING_EVERY", 0.1)
    monkeypatch.setattr(stream, "PONG_WITHIN", 0.3)
    typed: list[str | bytes] = []

    async def listen(console: ServerConnection) -> None:
        typed.append(await console.recv())

    daemon = PlayedDaemon(tmp_path, client_identity, talk=listen)
    daemon.ip = HYPERVISOR
    with wire.hypervisor.entered():
        daemon.__enter__()
    try:
        host = Host(uuid=daemon.id, address=HYPERVISOR, port=daemon.port, trust="owned")
        async with await stream.open_console(host, uuid4(), "serial") as console:
            with wire.cut():
                await console.send(b"reboot\n")
                with pytest.raises(TimedOut):
                    await console.receive()
                await console.close()
                assert wire.connections() == ""
    finally:
        daemon.stop()
    assert typed == []
