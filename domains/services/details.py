"""What only the host itself can tell of one domain: devices, XML, screen."""

import logging
from datetime import timedelta
from typing import Literal

from django.core.cache import cache
from django.utils import timezone
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

from hosts.agent import Agent, agent_of
from hosts.live import publish
from hosts.services import wake_worker

from ..models import Domain

logger = logging.getLogger(__name__)

DETAILS_LAST = timedelta(seconds=10)
DEVICES = ("disks", "interfaces", "graphics", "consoles", "boot", "machine", "arch", "xml_hash")


def wish_details(domain: Domain) -> None:
    """Have a worker look at the domain's devices, unless one just did. Never waits, never fails."""
    if domain.refusal:
        return
    if domain.details_at and abs(timezone.now() - domain.details_at) < DETAILS_LAST:
        return
    lasts = DETAILS_LAST.total_seconds()
    try:
        # Many may look at one domain at once: one look serves all.
        first = cache.add(f"domain-details:{domain.pk}", "wished", timeout=lasts)
    except (RedisError, ConnectionInterrupted, OSError) as error:
        logger.warning("Domain %s is not looked at now: %s", domain.pk, error)
        return
    if first:
        wake_worker("domains.tasks.refresh_details", domain.pk, expires=lasts)


def refresh_details(domain: Domain) -> None:
    """Ask the host for the domain's devices and keep them. Raises AgentError, DomainError."""
    found = _agent(domain).domain(domain.uuid)
    details = {name: found[name] for name in DEVICES}  # type: ignore[literal-required]  # DEVICES are
    changed = details != domain.details
    Domain.objects.filter(pk=domain.pk).update(details=details, details_at=timezone.now())
    if changed:
        publish("domain.changed", domain.pk, f"domain.{domain.pk}")


def xml(domain: Domain, which: Literal["live", "inactive"] | None = None) -> str:
    """The domain's XML; of None: live if it is active, else stored. Raises AgentError, DomainError."""
    return _agent(domain).xml(domain.uuid, which)


def screenshot(domain: Domain) -> bytes:
    """A PNG of the domain's screen. Raises AgentError, DomainError."""
    return _agent(domain).screenshot(domain.uuid)


def _agent(domain: Domain) -> Agent:
    if refusal := domain.refusal:
        raise refusal
    return agent_of(domain.host)
