"""The application: who may call what, judged by connection and state."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from typing import Any
from unittest import mock

import pytest
from authority import Authority
from doors import WELL_KNOWN, Host, World

from virshmanagerd.app import Application
from virshmanagerd.exchange import Answer, answer_of
from virshmanagerd.routes import ROUTES
from virshmanagerd.web import Peer


def ask(host: Host, method: str, path: str, peer: Peer | None = None, query: str = "") -> Answer:
    peer = peer or Peer("192.0.2.1", None, host.daemon.trust.generation)
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": "2",
        "wsgi.input": io.BytesIO(b"{}"),
        "virshmanagerd.peer": peer,
        "virshmanagerd.arrived": 0.0,
    }
    return answer_of(Application(host.daemon), environ)


def problem(answer: Answer) -> Any:
    return answer.status, json.loads(answer.body)["type"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.pattern}")
def test_every_route_refuses_who_came_before_a_change(world: World, authority: Authority, route: Any) -> None:
    host = world.owned(authority)
    stale = Peer("192.0.2.1", mock.ANY, host.daemon.trust.generation - 1)
    answer = ask(host, route.method, route.pattern.replace("{uuid}", "6f1c"), stale)
    assert problem(answer) == (403, "not_owned")


def test_a_defect_is_an_answer_that_tells_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    host = world.host()
    with mock.patch.object(host.daemon, "usable_join_key", side_effect=RuntimeError("the secret")):
        answer = ask(host, "GET", WELL_KNOWN)
    assert problem(answer) == (500, "internal_error")
    assert b"the secret" not in answer.body
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_query_with_too_many_fields(world: World) -> None:
    assert problem(ask(world.host(), "GET", WELL_KNOWN, query="&".join("a=1" for _ in range(99)))) == (
        400,
        "bad_request",
    )


def test_answers_are_not_kept_by_anybody(world: World) -> None:
    headers = dict(ask(world.host(), "GET", WELL_KNOWN).headers)
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/json"


def test_a_problem_says_what_it_is(world: World) -> None:
    answer = ask(world.host(), "GET", "/nowhere")
    assert dict(answer.headers)["Content-Type"] == "application/problem+json"
    assert json.loads(answer.body) == {
        "type": "not_found",
        "title": "There is nothing here",
        "status": 404,
        "detail": "",
    }


def test_a_peer_is_a_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Peer("192.0.2.1").generation = 7  # type: ignore[misc]
