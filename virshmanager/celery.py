"""The Celery application. Redis may wake a worker; what must be remembered is in the database."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")

app = Celery("virshmanager")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
