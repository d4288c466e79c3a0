"""Who is behind the open ports: one slow answer is not believed at once."""

import itertools
import socket
from pathlib import Path

import pytest

from discovery.choices import Kind
from discovery.services.meeting import meet_all
from hosts.trust import keys
from tests.hosts.peers import Peer, http, identity_of, ok, self_signed, server_context


@pytest.fixture
def daemon_that_hangs_first(tmp_path: Path) -> Peer:
    """A daemon whose first connection gets no answer; each one after it does."""
    key = keys.new_key()
    body = {
        "product": "virshmanager",
        "api": ["1"],
        "id": identity_of(key),
        "state": "unclaimed",
        "enrol": [],
    }
    answering, numbers = http(ok(body)), itertools.count()

    def talk(connection: socket.socket) -> None:
        if next(numbers):
            answering(connection)
        while connection.recv(4096):
            pass

    return Peer(talk, server_context(tmp_path, key, self_signed(key)))


@pytest.mark.usefixtures("redis_server")
@pytest.mark.django_db(transaction=True)
def test_who_was_too_slow_is_asked_once_more(daemon_that_hangs_first: Peer) -> None:
    with daemon_that_hangs_first as peer:
        answer = meet_all([(peer.ip, peer.port)])[peer.ip]
    assert (answer.kind, answer.reason, peer.connections) == (Kind.HYPERVISOR, "", 2)


@pytest.mark.usefixtures("redis_server")
@pytest.mark.django_db(transaction=True)
def test_who_never_answers_is_asked_twice_and_no_more() -> None:
    def hang(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with Peer(hang) as peer:
        answer = meet_all([(peer.ip, peer.port)])[peer.ip]
    assert (answer.kind, answer.reason, peer.connections) == (Kind.FOREIGN, "too_slow", 2)
