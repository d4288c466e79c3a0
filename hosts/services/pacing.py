"""Work on many hosts that is cut off after a while: the next run of beat goes on."""

import time
from collections.abc import Iterable, Iterator

from django.db.models import F

from ..models import Host, HostQuerySet


def longest_untried(hosts: HostQuerySet, tried_at: str, *then: str) -> HostQuerySet:
    """Those first that were not tried for longest, by this field of theirs: some may hang, time and again."""
    return hosts.order_by(F(tried_at).asc(nulls_first=True), *then)


def for_about(seconds: float, hosts: Iterable[Host]) -> Iterator[Host]:
    """Give hosts one after the other, and none that would be begun after so many seconds."""
    ends_at = time.monotonic() + seconds
    for host in hosts:
        if time.monotonic() > ends_at:
            return
        yield host
