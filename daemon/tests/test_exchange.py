"""HTTP without sockets: what is refused, and with which status."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virshmanagerd.exchange import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_TARGET_BYTES,
    PROVEN_BODY_BYTES,
    Answer,
    Exchange,
    answer_of,
)
from virshmanagerd.web import Peer, Problem

GET = b"GET /a%2Fb?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"


def refusal(data: bytes) -> Problem:
    exchange = Exchange()
    exchange.feed(data)
    with pytest.raises(Problem) as problem:
        exchange.next_request()
    assert exchange.encode(Answer(problem.value.status, [("Content-Length", "0")], b""), close=True)
    assert not exchange.start_next()
    return problem.value


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        (b"GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 411),
        (POST % (MAX_BODY_BYTES + 1), 413),
        (b"GET /" + b"a" * MAX_TARGET_BYTES + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"HEAD /" + b"a" * MAX_TARGET_BYTES + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * MAX_HEADER_BYTES + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * MAX_HEADER_BYTES, 431),
        (GET + GET, 400),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    assert refusal(data).status == status


@given(st.binary(max_size=400))
def test_any_bytes_are_a_request_or_a_refusal_or_the_beginning_of_one(data: bytes) -> None:
    exchange = Exchange()
    with contextlib.suppress(Problem):
        if data:
            exchange.feed(data)
        exchange.next_request()


@given(st.lists(st.integers(1, len(GET) - 1), max_size=8))
def test_it_does_not_matter_how_bytes_arrive(cuts: list[int]) -> None:
    exchange, marks = Exchange(), [0, *sorted(set(cuts)), len(GET)]
    found = None
    for start, end in itertools.pairwise(marks):
        assert found is None
        exchange.feed(GET[start:end])
        found = exchange.next_request()
    assert found
    assert (found.method, found.target) == ("GET", "/a%2Fb?x=1")


def test_a_body_at_the_limit_is_taken() -> None:
    exchange = Exchange()
    exchange.feed(POST % MAX_BODY_BYTES)
    assert exchange.next_request() is None
    assert exchange.headers_complete
    exchange.feed(b"b" * MAX_BODY_BYTES)
    found = exchange.next_request()
    assert found
    assert found.body == b"b" * MAX_BODY_BYTES


def test_the_owner_may_send_more_but_not_all() -> None:
    exchange = Exchange()
    exchange.most = PROVEN_BODY_BYTES
    exchange.feed(POST % (MAX_BODY_BYTES + 1))
    assert exchange.next_request() is None
    other = Exchange()
    other.most = PROVEN_BODY_BYTES
    other.feed(POST % (PROVEN_BODY_BYTES + 1))
    with pytest.raises(Problem) as problem:
        other.next_request()
    assert problem.value.status == 413


def test_one_request_after_the_other() -> None:
    exchange = Exchange()
    for _ in range(3):
        exchange.feed(GET)
        assert exchange.next_request()
        sent = exchange.encode(Answer(200, [("Content-Length", "2")], b"ok"), close=False)
        assert sent.startswith(b"HTTP/1.1 200")
        assert sent.endswith(b"\r\n\r\nok")
        assert b"server: virshmanagerd\r\n" in sent.lower()
        assert exchange.start_next()


def test_the_last_answer_says_so() -> None:
    exchange = Exchange()
    exchange.feed(GET)
    exchange.next_request()
    sent = exchange.encode(Answer(200, [("Content-Length", "0")], b""), close=True)
    assert b"connection: close\r\n" in sent.lower()
    assert not exchange.start_next()


def test_a_head_request_gets_no_body() -> None:
    exchange = Exchange()
    exchange.feed(GET.replace(b"GET", b"HEAD"))
    exchange.next_request()
    sent = exchange.encode(Answer(405, [("Content-Length", "5")], b"12345"), close=False)
    assert sent.endswith(b"\r\n\r\n")


def test_environ_and_answer() -> None:
    exchange = Exchange()
    exchange.feed(GET)
    request = exchange.next_request()
    assert request
    peer = Peer("192.0.2.1")

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert environ["PATH_INFO"] == "/a/b"
        assert environ["QUERY_STRING"] == "x=1"
        assert environ["REMOTE_ADDR"] == "192.0.2.1"
        assert environ["HTTP_HOST"] == "h"
        assert environ["virshmanagerd.peer"] is peer
        start_response("204 No Content", [("X", "y")])
        return [b"a", b"b"]

    assert answer_of(application, request.environ(peer)) == Answer(204, [("X", "y")], b"ab")
