"""Whatever stands in a query or an address: an answer or a refusal, never a defect."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from tests.domains.factories import domain
from virshmanager.api import router

pytestmark = pytest.mark.django_db

LISTS = [f"/api/{prefix}/" for prefix, _, _ in router.registry]


def parameters(view: Any) -> list[str]:
    return ["page", "page_size", "ordering", *view.filterset_class.base_filters]


QUERIES = [(f"/api/{prefix}/", name) for prefix, view, _ in router.registry for name in parameters(view)]
VALUES: list[str | bytes] = [
    "",
    "-1",
    "1e9",
    "9" * 40,
    "NaN",
    "\x00",
    b"\xff",
    "'",
    "%",
    "\\",
    "x" * 5000,
    "[]",
    "🂡",
]


@pytest.mark.parametrize(("path", "name"), QUERIES)
def test_a_query(api: APIClient, path: str, name: str) -> None:
    for value in VALUES:
        answer = api.get(path, {name: value})
        assert answer.status_code in {200, 400, 404}, (name, value)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/api/operations/", "target_id"), ("/api/operations/", "domain"), ("/api/grants/", "object_id")],
)
def test_a_number_that_takes_for_ever_to_compute(api: APIClient, path: str, name: str) -> None:
    assert api.get(path, {name: "-1e1000"}).status_code == 400


@pytest.mark.parametrize("path", LISTS)
def test_an_id(api: APIClient, path: str) -> None:
    for value in (
        "0",
        "-1",
        "9" * 40,
        "x",
        "%00",
        "%F0%9F%82%A1",
        "1%2F2",
        "00000000-0000-0000-0000-000000000000",
    ):
        answer = api.get(f"{path}{value}/")
        assert answer.status_code in {404, 405}, value


@pytest.mark.parametrize("path", ["/api/", *LISTS])
def test_a_browser_may_look(browser: Client, path: str) -> None:
    domain()
    assert browser.get(path, headers={"Accept": "text/html"})["Content-Type"].startswith("text/html")
    assert browser.options(path).status_code == 200
    assert browser.head(path).status_code == 200
