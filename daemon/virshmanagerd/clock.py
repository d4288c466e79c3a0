"""Time that two machines need not agree on: the seconds since this one was booted."""

from __future__ import annotations

import time
import uuid

from virshmanagerd import linux

# Without a boot id each process is a boot of its own: what another left open is past its deadline then.
BOOT_ID = linux.boot_id() or str(uuid.uuid4())


def now() -> float:
    """Return the seconds since the boot, those of a suspended machine too. No one can set it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
