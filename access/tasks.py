from celery import shared_task

from . import audit


@shared_task
def seal_audit() -> None:
    """Chain what was recorded since the last time. (Every second, by beat.)"""
    audit.seal()
