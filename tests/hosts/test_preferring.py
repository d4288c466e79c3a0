"""`Prefer: wait` (RFC 7240), as callers write it."""

import pytest
from django.test import RequestFactory
from rest_framework.request import Request

from hosts.api import wait_of


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 0),
        ("respond-async", 0),
        ("await=3", 0),
        ("wait", 0),
        ("wait=", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=0", 0),
        ("wait=5", 5),
        ("WAIT = 5", 5),
        ('respond-async, wait="5"; foo', 5),
        ("wait=31", 30),
        ("wait=12345678901", 30),
        ("wait=" + 900 * "1234567890", 30),
    ],
)
def test_how_long_a_caller_prefers_to_wait(prefer: str, seconds: int) -> None:
    assert wait_of(Request(RequestFactory().post("/", headers={"Prefer": prefer}))) == seconds
