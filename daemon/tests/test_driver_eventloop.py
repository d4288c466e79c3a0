"""The one thread of libvirt's events, and the timers on it."""

from __future__ import annotations

import threading
import time

import pytest
from doors import until

from virshmanagerd.driver.eventloop import LOOP


def test_an_action_that_fails_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    gate, rung = threading.Event(), threading.Event()

    def hold() -> None:
        gate.wait(5)

    def fail() -> None:
        raise RuntimeError("a defect")

    LOOP.ensure_running()
    LOOP.call_later(0, hold)
    for action in (fail, rung.set):  # both are due when the loop goes on
        LOOP.call_later(0.01, action)
    since = time.monotonic()
    until(lambda: time.monotonic() > since + 0.05)
    gate.set()
    assert rung.wait(5)
    assert "a defect" in caplog.text
