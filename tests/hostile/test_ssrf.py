"""Server-side request forgery: whatever is written as an address, no connection leaves the enabled ranges.

What is asserted is what the process did at its sockets, below all libraries, and not what it answered.
"""

import io
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DataError, transaction
from django.test import Client
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from discovery.services import create_range, update_range
from hosts import services, trust
from hosts.agent import agent_of, hang_up
from hosts.agent.stream import open_events
from hosts.errors import AgentError, HostsError, OutsideRanges
from hosts.identify import identify
from hosts.models import Host
from tests.hosts.peers import Peer, Talk, http, response, self_signed, server_context
from tests.signing import csr

from .conftest import Watch

pytestmark = [pytest.mark.attack("Server-side request forgery"), pytest.mark.django_db]

RANGE: Final = "127.0.77.0/24"
INSIDE: Final = "127.0.77.1"
# What each means to some reader of addresses: this machine, its metadata service, or both at once.
FORMS: Final = {
    "loopback": "127.0.0.1",
    "loopback, short": "127.1",
    "loopback, three parts": "127.0.1",
    "loopback, octal": "0177.0.0.1",
    "loopback, octal of an inside address": "0127.0.77.1",
    "loopback, hexadecimal": "0x7f.0.0.1",
    "loopback, one hexadecimal": "0x7f000001",
    "loopback, one decimal": "2130706433",
    "loopback, one octal": "017700000001",
    "loopback, overflowing": "4294967296",
    "loopback, a part too large": "127.0.77.257",
    "loopback, full width": "\uff11\uff12\uff17.0.0.1",
    "loopback, ideographic full stops": "127\u30020\u30020\u30021",
    "loopback, circled digits": "\u2460\u2461\u2466.0.0.1",
    "trailing dot": "127.0.77.1.",
    "IPv6 loopback": "::1",
    "IPv6 loopback, in brackets": "[::1]",
    "IPv4-mapped": "::ffff:127.0.0.1",
    "IPv4-mapped, hexadecimal": "::ffff:7f00:1",
    "IPv4-mapped, whole": "0:0:0:0:0:ffff:7f00:0001",
    "IPv4-compatible": "::127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "6to4": "2002:7f00:1::",
    "Teredo": "2001:0:7f00:1::",
    "zone id": "fe80::1%lo",
    "zone id, encoded": "fe80::1%25lo",
    "zone id of an inside address": "127.0.77.1%lo",
    "zone id of the loopback": "::1%1",
    "unspecified": "0.0.0.0",  # noqa: S104 -- what must be refused
    "unspecified, short": "0",
    "unspecified, IPv6": "::",
    "metadata": "169.254.169.254",
    "metadata, mapped": "::ffff:a9fe:a9fe",
    "port": "127.0.0.1:22",
    "userinfo": "127.0.77.1@127.0.0.1",
    "userinfo, with a password": "x:y@127.0.0.1",
    "fragment": "127.0.0.1#127.0.77.1",
    "query": "127.0.0.1?127.0.77.1",
    "path": "127.0.0.1/127.0.77.1",
    "backslash": "127.0.0.1\\@127.0.77.1",
    "URL": "http://127.0.0.1/",
    "two addresses": "127.0.77.1 127.0.0.1",
    "two lines": "127.0.77.1\r\n127.0.0.1",
    "a zero byte": "127.0.77.1\x00.elsewhere.example",
    "a list": "127.0.77.1,127.0.0.1",
    "a network": "127.0.77.1/8",
    "a name": "localhost",
    "a name, in capitals": "LOCALHOST.",
    "a name of a service that echoes addresses": "127.0.77.1.nip.example",
    "a name of the metadata service": "metadata.internal",
    "another address": "127.0.78.1",
}


@pytest.fixture(autouse=True)
def enabled_range(tmp_path: Path, settings: Settings) -> None:
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    create_range(cidr=RANGE, excluded=["127.0.77.9"])


@pytest.fixture
def rebinding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A resolver for which each name is inside when it is first asked, and this machine afterwards."""
    asked: list[str] = []
    genuine = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(str(host))
        first = asked.count(str(host)) == 1
        return genuine(host if _is_ip(host) else INSIDE if first else "127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def _is_ip(host: object) -> bool:
    return str(host).replace(".", "").isdigit() or ":" in str(host)


def refused_by_agent(host: Host) -> bool:
    try:
        agent_of(host).host()
    except OutsideRanges:
        return True
    except AgentError:
        return False
    finally:
        hang_up(host)
    return False


def test_as_an_address_that_is_asked_for(
    api: APIClient,
    browser: Client,
    watch: Watch,
    rebinding: list[str],
    record_property: Callable[[str, object], None],
) -> None:
    """By the API, and on the page."""
    record_property("tried", 2 * len(FORMS))
    for form, text in FORMS.items():
        body = {"address": text, "port": 1}
        assert api.post("/api/hosts/", body, format="json").status_code == 400, form
        assert browser.post("/hosts/add/", body).status_code == 422, form
        assert watch.dialled == set(), form
    assert rebinding == []


def stored(address: str) -> Host | None:
    """A host at such an address; None where the database itself keeps out what is no address."""
    try:
        with transaction.atomic():
            return Host.objects.create(uuid=uuid4(), address=address[:39], port=1, trust="found")
    except (ValueError, DataError):
        return None


def test_as_an_address_that_is_stored(
    watch: Watch, rebinding: list[str], record_property: Callable[[str, object], None]
) -> None:
    """However it came into the database."""
    record_property("tried", 3 * len(FORMS))
    for form, text in FORMS.items():
        assert refused_by_agent(Host(uuid=uuid4(), address=text, port=1, trust="owned")), form
        if (found := stored(text)) is None:
            continue
        assert services.probe(found).problem == OutsideRanges.problem, form
        with pytest.raises(HostsError):
            services.adopt(found, "ABCDE12345")
        assert watch.dialled == set(), form
    assert rebinding == []


def test_as_the_name_of_a_host_on_the_command_line(
    watch: Watch, rebinding: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for form, text in FORMS.items():
        if "\x00" in text:
            continue  # no command line can hold it
        monkeypatch.setattr("sys.stdin", io.StringIO("ABCDE12345"))
        with pytest.raises(CommandError):
            call_command("adopt", "--", text)
        assert watch.dialled == set(), form
    assert rebinding == []


async def test_as_the_address_of_a_stream(watch: Watch) -> None:
    for text in FORMS.values():
        host = Host(uuid=uuid4(), address=text, port=1, trust="owned")

        async def outside(question: Callable[[str], bool], address: str) -> bool:
            return address == INSIDE

        with pytest.raises(OutsideRanges):
            await open_events(host, ask=outside)
    assert watch.dialled == set()
    assert watch.resolved == set()


@pytest.mark.parametrize("port", ["1@127.0.0.1", "-1", "65536", "0", "1\r\n", "1/", "http", "1e3", "1 2"])
def test_as_a_port(api: APIClient, browser: Client, watch: Watch, port: str) -> None:
    body = {"address": INSIDE, "port": port}
    assert api.post("/api/hosts/", body, format="json").status_code in {400, 409}
    assert browser.post("/hosts/add/", body).status_code == 422
    assert watch.dialled <= {INSIDE}


def test_what_is_left_alone_or_switched_off_is_not_dialled(api: APIClient, watch: Watch) -> None:
    assert api.post("/api/hosts/", {"address": "127.0.77.9"}, format="json").status_code == 400
    create_range(cidr="127.0.77.0/25")
    assert api.post("/api/hosts/", {"address": "127.0.77.9"}, format="json").status_code == 400
    range_ = create_range(cidr="127.0.79.0/24")
    update_range(range_, enabled=False)
    assert api.post("/api/hosts/", {"address": "127.0.79.1"}, format="json").status_code == 400
    assert watch.dialled == set()


def test_what_is_inside_is_dialled_and_nothing_else(
    api: APIClient, watch: Watch, rebinding: list[str]
) -> None:
    """The watch sees a connection: what it does not see elsewhere was not there."""
    assert api.post("/api/hosts/", {"address": INSIDE, "port": 1}, format="json").status_code == 409
    mapped = {"address": f"::ffff:{INSIDE}", "port": 1}
    assert api.post("/api/hosts/", mapped, format="json").status_code == 409
    assert watch.dialled == {INSIDE}
    assert rebinding == []


@pytest.fixture
def inner() -> Iterator[Peer]:
    """A service of this machine that only this machine should reach."""
    with Peer(http(response(200, b"secret", {}))) as peer:
        yield peer


LOCATIONS: Final = [
    "http://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "https://127.0.77.1@127.0.0.1:{port}/",
    "wss://127.0.0.1:{port}/v1/events",
    "http://localhost:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
]


def redirecting(status: int, inner: Peer) -> Iterator[bytes]:
    for location in LOCATIONS:
        headers = {"Location": location.format(port=inner.port), "Content-Type": "application/json"}
        headers |= {"Refresh": f"0; url={headers['Location']}", "Alt-Svc": f'h2="127.0.0.1:{inner.port}"'}
        yield response(status, {}, headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_stranger_leads_nowhere(tmp_path: Path, inner: Peer, status: int) -> None:
    key = trust.keys.new_key()
    context = server_context(tmp_path, key, self_signed(key))
    for answer in redirecting(status, inner):
        with Peer(http(answer), context, INSIDE) as peer, Watch() as watch:
            identify(peer.ip, peer.port, client=trust.server_identity())
            assert watch.dialled == {INSIDE}
    assert inner.connections == 0


@pytest.fixture
def owned(tmp_path: Path) -> tuple[ssl.SSLContext, UUID]:
    """How a host of ours shows itself."""
    client = trust.server_identity()
    key = trust.keys.new_key()
    certificate = client.authority.sign_host(csr(key))
    context = server_context(tmp_path, key, certificate, client_ca=client.authority.pem)
    return context, trust.keys.daemon_id(trust.keys.spki(key.public_key()))


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_redirect_of_a_stream_leads_nowhere(
    owned: tuple[ssl.SSLContext, UUID], inner: Peer, status: int
) -> None:
    async def inside(question: Callable[[str], bool], address: str) -> bool:
        return address == INSIDE

    for answer in redirecting(status, inner):
        with Peer(once(answer), owned[0], INSIDE) as peer, Watch() as watch:
            with pytest.raises(AgentError):
                await open_events(
                    Host(uuid=owned[1], address=peer.ip, port=peer.port, trust="owned"), ask=inside
                )
            assert watch.dialled == {INSIDE}
    assert inner.connections == 0


def once(answer: bytes) -> Talk:
    """Answers a request for a stream, and waits for the other side to leave."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        while connection.recv(4096):
            pass

    return talk


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_call_leads_nowhere(
    owned: tuple[ssl.SSLContext, UUID], inner: Peer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a proxy of the environment."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{inner.port}")
    for answer in redirecting(status, inner):
        with Peer(http(answer), owned[0], INSIDE) as peer, Watch() as watch:
            host = Host(uuid=owned[1], address=peer.ip, port=peer.port, trust="owned")
            with pytest.raises(AgentError):
                agent_of(host).host()
            hang_up(host)
            assert watch.dialled == {INSIDE}
    assert inner.connections == 0


def test_what_a_host_tells_of_itself_is_never_dialled(api: APIClient, watch: Watch) -> None:
    """Names and addresses in its inventory are shown, and no more."""
    told = {"hostname": "127.0.0.1", "libvirt_uri": "qemu+tcp://127.0.0.1/system", "address": INSIDE}
    host = Host.objects.create(uuid=uuid4(), port=1, trust="found", **told)
    services.probe(host)
    assert api.get(f"/api/hosts/{host.pk}/").status_code == 200
    assert api.get("/api/hosts/").status_code == 200
    assert watch.dialled == {INSIDE}
