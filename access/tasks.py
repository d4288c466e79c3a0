from celery import shared_task

from . import audit


@shared_task
def chain_audit() -> None:
    """Chain what was recorded since the last time. (Every second, by beat.)"""
    audit.chain_waiting()
