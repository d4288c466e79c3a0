"""Wiring: settings, routes, the API on one screen, the web application and the worker."""

from .celery import app as celery_app

__all__ = ["celery_app"]
