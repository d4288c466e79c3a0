"""A hook for tests: the process kills itself at a step of an operation that they name.

``VIRSHMANAGERD_CRASH_AT`` is ``received``, ``started``, ``called`` or ``recorded``: the step that has just
been done. It is off unless that is set.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "VIRSHMANAGERD_CRASH_AT"


def at(step: str) -> None:
    """Be killed, as by ``kill -9``, when this is the step that was named."""
    if os.environ.get(VARIABLE) == step:
        die()


def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)
