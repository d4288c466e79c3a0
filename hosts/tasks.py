"""What workers do for hosts."""

from celery import shared_task

from . import services, trust
from .models import Host

# The next run goes on, before the beat after the next one.
RENEWING_SECONDS = 50
FAREWELL_SECONDS = 50


@shared_task
def probe_host(host_id: int) -> None:
    """Look after one host now; also how an approved host is enrolled."""
    host = Host.objects.filter(pk=host_id).first()
    if host is not None:
        services.probe(host)


@shared_task
def carry_host(host_id: int) -> None:
    """Carry what is due of one host."""
    services.carry_host(host_id)


@shared_task
def sweep() -> None:
    """See to it that no operation is forgotten. (Every second, by beat.)"""
    services.sweep()


@shared_task
def renew_certificates() -> None:
    """Renew this server's own certificate and those of its hosts. (Every minute, by beat.)"""
    trust.server_identity()
    services.renew_due(RENEWING_SECONDS)


@shared_task
def rotate_authority() -> None:
    """Go on following the authority by another one, if that was begun. (Every minute, by beat.)"""
    services.go_on_rotating(RENEWING_SECONDS)


@shared_task
def say_farewell(host_id: int) -> None:
    """Have a host that was just retired forget this server."""
    host = Host.objects.filter(pk=host_id).first()
    if host is not None:
        services.say_farewell(host)


@shared_task
def repeat_farewells() -> None:
    """Ask the retired hosts again that did not hear it. (Every minute, by beat.)"""
    services.repeat_farewells(FAREWELL_SECONDS)


@shared_task
def note_twins() -> None:
    """Show which hosts call themselves as another one does. (Every minute, by beat.)"""
    services.note_twins()


@shared_task
def publish_statuses() -> None:
    services.publish_statuses()
