"""A clock that the tests of measurements move."""

import time

import pytest

from .measuring import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The real time, at the beginning of an hour."""
    return Clock(monkeypatch, time.time() // 3600 * 3600)
