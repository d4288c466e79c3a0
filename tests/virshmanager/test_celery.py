"""Redis may wake a worker, never remember: who wakes one does not wait long for a Redis that is gone."""

import time
from pathlib import Path

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from pytest_django.fixtures import Settings

from virshmanager.celery import app

PATIENCE_SECONDS = 2


def test_waking_a_worker_gives_up_soon(settings: Settings, tmp_path: Path) -> None:
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path / 'nobody.sock'}"
    server = Celery("server", set_as_current=False)
    server.config_from_object("django.conf:settings", namespace="CELERY")
    started = time.monotonic()
    with pytest.raises(OperationalError):
        server.send_task("hosts.tasks.probe_host", args=[1], retry=False)
    assert time.monotonic() - started < PATIENCE_SECONDS


def test_everything_on_the_schedule_is_a_task() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
