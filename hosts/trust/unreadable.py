"""A process whose memory and environment no other process of its user can read."""

import ctypes
from typing import Final

PR_SET_DUMPABLE: Final = 4


def keep_unreadable() -> None:
    """Forbid core dumps, ptrace, and /proc/PID/environ and mem, to all but root (prctl(2), PR_SET_DUMPABLE).

    What it starts is not concerned: it ends with execve.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
