"""What daemons that were taken over do: each call ends in time, says why, and harms no other host."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from domains.models import Domain
from hosts.agent import hang_up
from hosts.agent import stream as gate
from hosts.agent.line import Line
from hosts.agent.stream import open_events
from hosts.agent.transport import Question, Timeouts
from hosts.errors import AgentError
from hosts.models import Host
from hosts.services.refreshing import Report, ask, miss, refresh, store
from hosts.trust import ClientIdentity
from tests.hosts.conftest import client_identity, dialable
from tests.hosts.factories import a_host, told_domain
from tests.hosts.peers import Peer

from .behaviours import CALLS, FOLLOWED, HALF, Behaviour, Scene, domains
from .conftest import Watch

__all__ = ["client_identity", "dialable"]  # fixtures

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("dialable", "hasty")]

# A call may take ten seconds.
MOST_SECONDS: Final = 15
MOST_BYTES: Final = 100 * 2**20
# What a terminal, a log or a database would do something with.
UNWANTED: Final = {*"\x00\x07\r\x1b\x9b\u202e", HALF}


@pytest.fixture
def hasty(scene: Scene, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where time shall be up it is up soon, for that host alone. What ends otherwise has the usual time."""
    if behaviour.problem != "timed_out":
        return
    monkeypatch.setattr(gate, "UPGRADE", 0.5)
    monkeypatch.setattr(gate, "PING_EVERY", 0.1)
    monkeypatch.setattr(gate, "PONG_WITHIN", 0.5)
    ask_patiently = Line.ask

    def ask_hastily(line: Line, ip: str, port: int, question: Question, *, insist: bool) -> bytes:
        if line.host_id == scene.id:
            question = question._replace(timeouts=Timeouts(connect=0.5, read=0.4, total=0.8))
        return ask_patiently(line, ip, port, question, insist=insist)

    monkeypatch.setattr(Line, "ask", ask_hastily)


@contextmanager
def played(scene: Scene, behaviour: Behaviour) -> Iterator[Host]:
    """The row of a host whose daemon behaves like that."""
    with Peer(behaviour.says(scene), behaviour.tls(scene)) as peer:
        host = a_host(uuid=scene.id, address=peer.ip, port=peer.port)
        try:
            yield host
        finally:
            hang_up(host)


@pytest.fixture
def neighbour(tmp_path: Path, client_identity: ClientIdentity) -> Iterator[Host]:
    """A well host of the same server, with one domain."""
    scene = Scene(tmp_path, client_identity, client_identity.server_id)
    with played(scene, Behaviour("is well", "", domains(told_domain(name="honest")))) as host:
        yield host


@pytest.fixture
def scene(tmp_path: Path, client_identity: ClientIdentity, neighbour: Host) -> Scene:
    return Scene(tmp_path, client_identity, neighbour.uuid)


def outcome(call: Callable[[Host], Report], host: Host) -> Report | AgentError:
    try:
        return call(host)
    except AgentError as error:
        return error


def beside(neighbour: Host, call: Callable[[Host], Report], host: Host) -> Report | AgentError:
    """Call a host, and meanwhile its neighbour; in bounded time and memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: proc_pid_clear_refs(5)
    before = peak()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(outcome, call, host)
        assert refresh(neighbour).answered
        found = asked.result(MOST_SECONDS)
    assert peak() - before < MOST_BYTES
    return found


def peak() -> int:
    """The most memory that this process had, in bytes."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return 1024 * int(line.split()[1])


def stored(host: Host) -> Iterator[str]:
    """All words of a host that are kept."""
    yield from (host.hostname, host.reason, host.libvirt_error)
    for domain in Domain.objects.filter(host=host):
        yield from (domain.name, domain.title, domain.description, *domain.tags)


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize("behaviour", CALLS, ids=str)
def test_a_call_ends_says_why_and_harms_no_other_host(
    behaviour: Behaviour, scene: Scene, neighbour: Host, watch: Watch
) -> None:
    with played(scene, behaviour) as host:
        found = beside(neighbour, ask, host)
        if isinstance(found, AgentError):
            miss(host, found)
        else:
            store(host, found)
    host.refresh_from_db()
    assert host.problem == behaviour.problem, host.reason
    assert not UNWANTED & set("".join(stored(host)))
    assert watch.dialled == {"127.0.0.1"}
    neighbour.refresh_from_db()
    assert (neighbour.problem, neighbour.hostname) == ("", "hv-01")
    assert [domain.name for domain in Domain.objects.filter(host=neighbour)] == ["honest"]


async def always(_question: object, _address: str) -> bool:
    """Asks no database."""
    return True


def follow(host: Host) -> Report:
    """Read a stream until it ends."""

    async def read() -> Report:
        async with await open_events(host, ask=always) as stream:
            while True:
                await stream.receive()

    return asyncio.run(read())


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize("behaviour", FOLLOWED, ids=str)
def test_a_stream_ends_says_why_and_harms_no_other_host(
    behaviour: Behaviour, scene: Scene, neighbour: Host, watch: Watch
) -> None:
    with played(scene, behaviour) as host:
        found = beside(neighbour, follow, host)
    assert isinstance(found, AgentError)
    assert found.problem == behaviour.problem
    assert watch.dialled == {"127.0.0.1"}
