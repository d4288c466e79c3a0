"""The Celery application. Redis may wake a worker; what must be remembered is in the database."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")

app = Celery("virshmanager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.beat_schedule = {
    # A beat that no worker took in time says nothing any more.
    "heartbeat": {"task": "virshmanager.tasks.heartbeat", "schedule": 5.0, "options": {"expires": 5}},
    "statuses": {"task": "hosts.tasks.publish_statuses", "schedule": 5.0, "options": {"expires": 5}},
    "history": {"task": "domains.tasks.roll_up", "schedule": 60.0, "options": {"expires": 60}},
    "certificates": {
        "task": "hosts.tasks.renew_certificates",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "authority": {"task": "hosts.tasks.rotate_authority", "schedule": 60.0, "options": {"expires": 60}},
    "farewells": {"task": "hosts.tasks.repeat_farewells", "schedule": 60.0, "options": {"expires": 60}},
    "twins": {"task": "hosts.tasks.note_twins", "schedule": 60.0, "options": {"expires": 60}},
    "audit": {"task": "access.tasks.chain_audit", "schedule": 1.0, "options": {"expires": 1}},
    "operations": {"task": "hosts.tasks.sweep", "schedule": 1.0, "options": {"expires": 1}},
    "crawls": {"task": "discovery.tasks.dispatch", "schedule": 5.0, "options": {"expires": 5}},
}
