"""Path traversal: no name, number or file in an address leads to a file of the server's."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from django.conf import settings
from django.http import HttpResponseBase
from django.test import Client

pytestmark = [pytest.mark.attack("Path traversal"), pytest.mark.django_db]

CANARY: Final = b"canary-of-a-private-file"
UP: Final = [
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%252f",
    "..\\",
    "..%5c",
    "%c0%ae%c0%ae/",
    "%c0%ae%c0%ae%c0%af",
    "..%c0%af",
    "..%ef%bc%8f",
    "....//",
    "..;/",
    "..%00/",
    ".%2e/",
    "%u002e%u002e/",
    "..%0d/",
    "/../",
    "./../",
]
DOORS: Final = [
    "/static/{}",
    "/static/admin/{}",
    "/{}",
    "/account/setup/{}/",
    "/api/hosts/{}/",
    "/api/operations/{}/",
    "/admin/{}",
    "/discovery/ranges/1/at/{}/",
    "/domains/1/verbs/{}/",
]


@pytest.fixture
def canary() -> Iterator[Path]:
    """A private file, beside the server's secret key."""
    path = Path(settings.VIRSHMANAGER_HOME) / "canary"
    path.write_bytes(CANARY)
    yield path
    path.unlink()


def targets(canary: Path) -> Iterator[str]:
    yield from (str(canary), canary.as_uri(), f"/{canary}")
    for number, up in enumerate(UP):
        file = canary if number % 2 else Path("/etc/passwd")
        yield f"{up * 12}{str(file).lstrip('/')}"
        yield f"{up}{up}manage.py"


def body_of(answer: HttpResponseBase) -> bytes:
    if answer.streaming:
        content = b"".join(answer)
        answer.close()
        return content
    return bytes(getattr(answer, "content", b""))


@pytest.mark.parametrize("door", DOORS)
def test_no_file_is_given_away(
    browser: Client, stranger: Client, canary: Path, door: str, record_property: Callable[[str, object], None]
) -> None:
    found = list(targets(canary))
    record_property("tried", len(found))
    client = stranger if door.startswith(("/static/", "/account/setup/")) else browser
    for target in found:
        answer = client.get(door.format(target))
        assert answer.status_code < 500, target
        body = body_of(answer)
        for secret in (CANARY, b"root:x:0:0", b"django.core.management", settings.SECRET_KEY.encode()):
            assert secret not in body, target


def test_by_the_same_way_what_is_meant_for_all_does_come(stranger: Client) -> None:
    answer = stranger.get("/static/app.css")
    assert answer.status_code == 200
    assert b"{" in body_of(answer)
