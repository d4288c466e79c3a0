"""A hook for tests: an operation waits at a step, so that any process can be killed just then.

``VIRSHMANAGERD_HALT_IN`` names a folder; without it nothing here does anything. Whoever makes a file there
that is called like a step has the next operation that comes to it wait. The file is called ``STEP.held``
then, and names the process; the operation goes on when it is removed. The steps, each just done:
``received`` and ``started`` (in the journal), ``called`` (libvirt has answered) and ``recorded`` (the verdict
is in the journal).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

VARIABLE: Final = "VIRSHMANAGERD_HALT_IN"
# A test that has died must not stop what it tried for ever.
LONGEST_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.01


def at(step: str) -> None:
    """Wait while a test holds this step."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return
    held = Path(folder, f"{step}.held")
    try:
        # Of several that come at once one finds it.
        Path(folder, step).rename(held)
    except FileNotFoundError:
        return
    held.write_text(str(os.getpid()))
    ends_at = time.monotonic() + LONGEST_SECONDS
    while held.exists() and time.monotonic() < ends_at:
        time.sleep(LOOK_SECONDS)
