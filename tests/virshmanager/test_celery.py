"""Redis may wake a worker, never remember: who wakes one does not wait long for a Redis that is gone."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from pytest_django.fixtures import Settings

from hosts.services.operations.accepting import CARRY_TASK
from virshmanager.celery import app

PATIENCE_SECONDS = 2


@pytest.mark.parametrize("hangs", [False, True])
def test_waking_a_worker_gives_up_soon(settings: Settings, tmp_path: Path, *, hangs: bool) -> None:
    path = tmp_path / "redis.sock"
    settings.CELERY_BROKER_URL = f"redis+socket://{path}"
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = options | ({"socket_timeout": 0.3} if hangs else {})
    with silent(path) if hangs else nullcontext():
        wake_and_be_refused()


def test_a_redis_that_hangs_is_waited_for_a_few_seconds(settings: Settings) -> None:
    assert 1 <= settings.CELERY_BROKER_TRANSPORT_OPTIONS["socket_timeout"] <= 5


@contextmanager
def silent(path: Path) -> Iterator[None]:
    """A Redis that is stopped (SIGSTOP): the kernel takes connections, and nobody answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield


def wake_and_be_refused() -> None:
    server = Celery("server", set_as_current=False)
    server.config_from_object("django.conf:settings", namespace="CELERY")
    started = time.monotonic()
    with pytest.raises(OperationalError):
        server.send_task("hosts.tasks.probe_host", args=[1], retry=False)
    assert time.monotonic() - started < PATIENCE_SECONDS


def test_everything_on_the_schedule_is_a_task() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
    assert CARRY_TASK in app.tasks
