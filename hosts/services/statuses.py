"""Telling pages that a host has become stale or offline: time passes without an event of its own."""

from django.core.cache import cache

from ..live import FLEET, News, publish_all
from ..models import Host

KEY = "hosts:statuses"


def publish_statuses() -> int:
    """Publish each host whose status differs from the last run's; return how many.

    What was published last is in Redis. When that is lost, the next run only learns again.
    """
    current = {host.pk: host.status for host in Host.objects.with_status().only("pk")}
    known: dict[int, str] | None = cache.get(KEY)
    cache.set(KEY, current, timeout=None)
    if known is None:
        return 0
    changed = [pk for pk, status in current.items() if known.get(pk, status) != status]
    publish_all([News("host.changed", pk, (FLEET, f"host.{pk}")) for pk in changed])
    return len(changed)
