from celery import shared_task

from .health import note_worker


@shared_task
def heartbeat() -> None:
    """Show that beat gives out work and a worker does it. `/readyz` looks for it."""
    note_worker()
