"""Who answers there? Every peer that is no daemon of ours becomes a stranger with its reason, in time."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hosts import strangers
from hosts.identify import Identity, Prober, Result, Stranger, identify, identify_many
from hosts.trust import ClientIdentity, keys
from tests.signing import another_authority, csr

from .peers import Peer, Talk, http, identity_of, ok, problem, response, saying, self_signed, server_context

DEADLINE = 0.5


def claim(daemon_id: str, **more: Any) -> dict[str, Any]:
    return {
        "product": "virshmanager",
        "api": ["1"],
        "id": daemon_id,
        "state": "unclaimed",
        "enrol": [],
    } | more


@contextmanager
def tls_peer(folder: Path, talk: Talk, key: ec.EllipticCurvePrivateKey | None = None) -> Iterator[Peer]:
    key = key or keys.new_key()
    with Peer(talk, server_context(folder, key, self_signed(key))) as peer:
        yield peer


def ask(peer: Peer, client: ClientIdentity | None = None) -> Result:
    return identify(peer.ip, peer.port, deadline=DEADLINE, client=client)


def reason(found: Result) -> str:
    assert isinstance(found, Stranger)
    return found.reason


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        (saying(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "not_tls"),
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>"), "not_tls"),
        (saying(b"\x00" * 50_000), "not_tls"),
        (lambda _: None, "not_tls"),
        (lambda connection: connection.recv(1) and None, "not_tls"),
    ],
)
def test_what_does_not_speak_tls_is_a_stranger(talk: Talk, expected: str) -> None:
    with Peer(talk) as peer:
        assert reason(ask(peer)) == expected


def test_a_closed_port_and_an_address_without_a_route_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert reason(identify("127.0.0.1", port, client=None)) == "refused"
    assert reason(identify("::ffff:0:0:1", port, client=None)) == "unreachable"


@pytest.mark.attack("Hostile daemon")
def test_a_peer_of_tls_1_2_is_a_stranger(tmp_path: Path) -> None:
    key = keys.new_key()
    context = server_context(tmp_path, key, self_signed(key))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Peer(saying(b""), context) as peer:
        assert reason(ask(peer)) == "not_virshmanager"


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize("tls", [True, False])
def test_a_silent_peer_costs_the_deadline_and_no_more(tmp_path: Path, *, tls: bool) -> None:
    talk = saying(b"")
    key = keys.new_key()
    context = server_context(tmp_path, key, self_signed(key)) if tls else None
    with Peer(talk, context) as peer:
        begun = time.monotonic()
        assert reason(ask(peer)) == "too_slow"
        assert DEADLINE * 0.9 < time.monotonic() - begun < DEADLINE + 1


@pytest.mark.attack("Hostile daemon")
def test_a_slow_drip_does_not_extend_the_deadline(tmp_path: Path) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        for byte in ok(claim("x"), **{"X-Filler": "y" * 1000}):
            connection.sendall(bytes([byte]))
            if stop.wait(0.05):
                return

    with tls_peer(tmp_path, drip) as peer:
        begun = time.monotonic()
        assert reason(ask(peer)) == "too_slow"
        assert time.monotonic() - begun < DEADLINE + 1
        stop.set()


def endless(head: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b"a" * 65536)

    return talk


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize(
    "talk",
    [
        endless(b"HTTP/1.1 200 OK\r\nX-Head: "),
        endless(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n"),
    ],
)
def test_a_hundred_megabytes_are_not_read(tmp_path: Path, talk: Talk) -> None:
    with tls_peer(tmp_path, talk) as peer:
        assert reason(ask(peer)) == "too_large"


IDENTITY = claim("00000000-0000-8000-8000-000000000000")


@pytest.mark.attack("Hostile daemon")
@pytest.mark.parametrize(
    "answer",
    [
        ok(b"<html>hello</html>", "text/html"),
        ok(b"<html>hello</html>"),
        ok(IDENTITY, "text/html"),
        ok(b"\x1f\x8b\x08\x00" + b"\x00" * 50, **{"Content-Encoding": "gzip"}),
        ok(b"[" * 3000),
        ok(b'{"a":' * 700),
        ok(b"\xff\xfe"),
        ok([IDENTITY]),
        ok(IDENTITY | {"product": "other"}),
        ok(IDENTITY | {"state": "mine"}),
        ok(IDENTITY | {"state": ["owned"]}),
        ok(IDENTITY | {"id": "ABC"}),
        ok(IDENTITY | {"id": 5}),
        ok(IDENTITY | {"id": "00000000-0000-8000-8000-00000000000A"}),
        ok(IDENTITY | {"enrol": [{"method": "join", "key_id": "../../etc"}]}),
        ok(IDENTITY | {"enrol": "join"}),
        ok(IDENTITY | {"api": [1]}),
        problem(404, "not_found"),
        response(302, b"", {"Location": "http://127.0.0.1/"}),
        response(200, IDENTITY, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}),
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: five\r\n\r\n12345",
        ok(IDENTITY | {"id": "{00000000-0000-8000-8000-000000000000}"}),
        ok(IDENTITY | {"id": "urn:uuid:00000000-0000-8000-8000-000000000000"}),
        ok(IDENTITY | {"id": "\ud800"}),
        ok(IDENTITY | {"id": float("nan")}),
        ok(b'{"product": "virshmanager", "api": [1e999999]}'),
        ok(b'{"product": ' + b"9" * 3500 + b"}"),
    ],
)
def test_other_services_are_not_virshmanager(tmp_path: Path, answer: bytes) -> None:
    with tls_peer(tmp_path, http(answer)) as peer:
        assert reason(ask(peer)) == "not_virshmanager"


@pytest.mark.attack("Hostile daemon")
def test_an_answer_that_ends_early_is_not_virshmanager(tmp_path: Path) -> None:
    with tls_peer(tmp_path, lambda connection: connection.sendall(ok(IDENTITY)[:-5])) as peer:
        assert reason(ask(peer)) == "not_virshmanager"


def with_version(der: bytes, version: int) -> bytes:
    """The same certificate, which says that it is of another version of X.509 (RFC 5280, 4.1.2.1)."""
    tagged = b"\xa0\x03\x02\x01"
    assert der.count(tagged) == 1
    return der.replace(tagged + b"\x02", tagged + bytes([version]))


@pytest.mark.attack("Hostile daemon")
def test_a_certificate_of_a_version_that_does_not_exist(tmp_path: Path) -> None:
    key = keys.new_key()
    der = with_version(self_signed(key).public_bytes(Encoding.DER), 77)
    file = tmp_path / "peer.pem"
    file.write_text(keys.key_to_pem(key).decode() + ssl.DER_cert_to_PEM_cert(der))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with Peer(http(ok(claim(identity_of(key)))), context) as peer:
        assert reason(ask(peer)) == "not_virshmanager"


@pytest.mark.parametrize(
    "date",
    [
        "Thu, 01 Jan 1970 00:00:00 +99999999999999",
        "Thu, 01 Jan 99999999999 00:00:00 GMT",
        "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 +9999",
        "(" * 100,
        "yesterday",
    ],
)
def test_a_date_that_is_none_tells_nothing_of_the_clock(tmp_path: Path, date: str) -> None:
    key = keys.new_key()
    with tls_peer(tmp_path, http(ok(claim(identity_of(key)), Date=date)), key) as peer:
        found = ask(peer)
    assert isinstance(found, Identity)
    assert found.clock_skew is None


@pytest.mark.attack("Hostile daemon")
def test_a_claim_that_the_key_does_not_give_names_the_key(tmp_path: Path) -> None:
    key, victim = keys.new_key(), identity_of(keys.new_key())
    with tls_peer(tmp_path, http(ok(claim(victim))), key) as peer:
        found = ask(peer)
    assert isinstance(found, Stranger)
    assert (found.reason, str(found.claimed)) == ("identity_mismatch", victim)
    assert identity_of(key).startswith(found.public_key_sha256[:8])


@pytest.mark.attack("Hostile daemon")
def test_the_environment_has_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    key = keys.new_key()
    with tls_peer(tmp_path, http(ok(claim(identity_of(key)))), key) as peer:
        assert isinstance(ask(peer), Identity)


@pytest.fixture
def demanding(tmp_path: Path) -> Callable[[str], tuple[ssl.SSLContext, str]]:
    """Makes the TLS context of an owned daemon whose owner has this CA; and its identity."""

    def make(client_ca: str) -> tuple[ssl.SSLContext, str]:
        key = keys.new_key()
        return server_context(tmp_path, key, self_signed(key), client_ca=client_ca), identity_of(key)

    return make


def test_a_daemon_of_another_owner_is_told_apart(
    tmp_path: Path, client_identity: ClientIdentity, demanding: Callable[[str], tuple[ssl.SSLContext, str]]
) -> None:
    other = another_authority(tmp_path / "other")
    context, _ = demanding(other.pem)
    with Peer(http(ok(IDENTITY)), context) as peer:
        assert reason(ask(peer)) == "demands_certificate"
        assert reason(ask(peer, client_identity)) == "owned_by_another"


def test_a_daemon_that_takes_our_certificate_is_not_ours_by_that_alone(
    client_identity: ClientIdentity, demanding: Callable[[str], tuple[ssl.SSLContext, str]]
) -> None:
    context, daemon_id = demanding(client_identity.authority.pem)
    with Peer(http(ok(claim(daemon_id, state="owned"))), context) as peer:
        found = ask(peer, client_identity)
        assert peer.connections == 2
    assert isinstance(found, Identity)
    assert (found.state, found.owned_by_us) == ("owned", False)


def test_an_owned_daemon_of_ours(tmp_path: Path, client_identity: ClientIdentity) -> None:
    key = keys.new_key()
    certificate = client_identity.authority.sign_host(csr(key))
    context = server_context(tmp_path, key, certificate, client_ca=client_identity.authority.pem)
    with Peer(http(ok(claim(identity_of(key), state="owned"))), context) as peer:
        found = ask(peer, client_identity)
    assert isinstance(found, Identity)
    assert found.owned_by_us
    assert str(found.uuid) == identity_of(key)


def test_an_unclaimed_daemon_is_identified_without_showing_who_we_are(
    tmp_path: Path, client_identity: ClientIdentity
) -> None:
    key = keys.new_key()
    seen = []

    def talk(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        seen.append(connection.getpeercert(binary_form=True))
        document = claim(
            identity_of(key), enrol=[{"method": "join", "key_id": identity_of(key)}, {"method": "new"}]
        )
        http(ok(document, Date="Sun, 06 Nov 1994 08:49:37 GMT"))(connection)

    context = server_context(tmp_path, key, self_signed(key))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=client_identity.authority.pem)
    with Peer(talk, context) as peer:
        found = ask(peer, client_identity)
    assert isinstance(found, Identity)
    assert [str(key_id) for key_id in found.enrol] == [identity_of(key)]
    assert found.clock_skew is not None
    assert found.clock_skew < -1_000_000
    assert seen == [None]


@pytest.mark.attack("Hostile daemon")
def test_many_are_identified_at_once_and_one_tarpit_delays_no_other(tmp_path: Path) -> None:
    key = keys.new_key()
    document = ok(claim(identity_of(key)))
    with ExitStack() as stack:
        good = stack.enter_context(tls_peer(tmp_path, http(document), key))
        tarpit = stack.enter_context(Peer(saying(b"")))
        targets = [(good.ip, good.port)] * 300
        targets[::30] = [(tarpit.ip, tarpit.port)] * 10
        results: list[Result] = []
        thread = threading.current_thread()

        def collect(target: tuple[str, int], result: Result) -> None:
            assert threading.current_thread() is thread
            results.append(result)

        begun = time.monotonic()
        identify_many(targets, client=None, on_result=collect, deadline=2)
        assert time.monotonic() - begun < 10
    assert sum(isinstance(result, Identity) for result in results) == 290
    assert sum(result == Stranger("too_slow") for result in results) == 10


@pytest.mark.attack("Hostile daemon")
def test_what_nobody_foresaw_in_one_answer_ends_no_other_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = strangers.call
    results: dict[tuple[str, int], Result] = {}

    async def failing(ip: str, port: int, *more: Any, **options: Any) -> strangers.Answer:
        if port == strange.port:
            raise RuntimeError("a defect")
        return await call(ip, port, *more, **options)

    monkeypatch.setattr(strangers, "call", failing)
    key = keys.new_key()
    with (
        tls_peer(tmp_path, saying(b"")) as strange,
        tls_peer(tmp_path, http(ok(claim(identity_of(key)))), key) as peer,
    ):
        targets = [(strange.ip, strange.port), (peer.ip, peer.port)]
        identify_many(targets, client=None, concurrency=1, on_result=results.__setitem__)
    assert reason(results[targets[0]]) == "not_virshmanager"
    assert isinstance(results[targets[1]], Identity)


def test_a_failure_in_the_callback_ends_the_probing(tmp_path: Path) -> None:
    def fail(target: tuple[str, int], result: Result) -> None:
        raise KeyError(target)

    with Peer(saying(b"no TLS")) as peer:
        with pytest.raises(KeyError):
            identify_many([(peer.ip, peer.port)] * 5000, client=None, on_result=fail)
        assert peer.connections < 500


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_a_connection_cut_anywhere_is_a_stranger(tmp_path: Path, position: int) -> None:
    cut = ok(json.loads(json.dumps(IDENTITY)))[:position]
    with tls_peer(tmp_path, lambda connection: connection.sendall(cut)) as peer:
        found = asyncio.run(Prober(None).identify(peer.ip, peer.port, DEADLINE))
    assert isinstance(found, Stranger)
