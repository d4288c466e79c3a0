"""The table of routes: all of the contract, and each with its access."""

from __future__ import annotations

from typing import Any

import pytest

from virshmanagerd import routes
from virshmanagerd.handlers import wellknown
from virshmanagerd.routes import ROUTES, Access, Route
from virshmanagerd.web import Problem

OPEN = {
    ("GET", "/.well-known/virshmanager"),
    ("POST", "/v1/enrol/join"),
    ("POST", "/v1/enrol/code/start"),
    ("POST", "/v1/enrol/code/prove"),
}


def test_a_route_without_an_access_cannot_be_built() -> None:
    undeclared: Any = None
    with pytest.raises(TypeError, match="does not declare"):
        Route("GET", "/new", wellknown.get_identity, undeclared)


def test_strangers_have_these_routes_and_no_others() -> None:
    assert {(route.method, route.pattern) for route in ROUTES if route.access is Access.STRANGER} == OPEN


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/v1/host/", "/v1/domains/a/b", "/v1/domains//xml", "//v1/host"]
)
def test_what_is_not_there(path: str) -> None:
    with pytest.raises(Problem) as problem:
        routes.match("GET", path)
    assert (problem.value.type, problem.value.status) == ("not_found", 404)


def test_another_method() -> None:
    with pytest.raises(Problem) as problem:
        routes.match("DELETE", "/v1/host")
    assert (problem.value.status, problem.value.headers) == (405, {"Allow": "GET"})


def test_parameters() -> None:
    route, params = routes.match("GET", "/v1/domains/6f1c/xml")
    assert (route.pattern, params) == ("/v1/domains/{uuid}/xml", {"uuid": "6f1c"})
