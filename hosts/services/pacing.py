"""Work on many hosts that is cut off after a while: the next run of beat goes on."""

import time
from collections.abc import Iterable, Iterator

from ..models import Host


def for_about(seconds: float, hosts: Iterable[Host]) -> Iterator[Host]:
    """Give hosts one after the other, and none that would be begun after so many seconds."""
    ends_at = time.monotonic() + seconds
    for host in hosts:
        if time.monotonic() > ends_at:
            return
        yield host
