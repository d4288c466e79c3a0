from celery import shared_task

from hosts.errors import AgentError

from . import services
from .models import Domain


@shared_task
def refresh_details(domain_id: int) -> None:
    """Look at one domain's devices. A host that does not answer is the probe's concern, not this task's."""
    domain = Domain.objects.present().select_related("host").filter(pk=domain_id).first()
    if domain is None:
        return
    try:
        services.refresh_details(domain)
    except AgentError:
        return
