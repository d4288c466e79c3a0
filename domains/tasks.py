import logging

from celery import shared_task
from redis.exceptions import RedisError

from hosts.errors import AgentError

from . import services
from .models import Domain

logger = logging.getLogger(__name__)


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


@shared_task
def roll_up() -> None:
    """Write what the rings hold into history. Without Redis there is nothing; the next minute tries."""
    try:
        services.roll_up()
    except (RedisError, OSError) as error:
        logger.warning("Nothing is rolled up now: %s", error)
