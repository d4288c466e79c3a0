"""Operations: changes that are rows before they are sent, and get exactly one verdict each.

`accept` stores one, `carry` brings it to its daemon, `settle` writes down what the daemon says, and `sweep`
sees to it that none is forgotten.
"""

from .accepting import accept, replayed
from .bulk import BulkTarget, accept_bulk
from .cancelling import cancel, is_cancellable, may_cancel
from .carrying import carry, carry_host
from .settling import settle, settle_report
from .sweeping import sweep
from .waiting import wait_for

__all__ = [
    "BulkTarget",
    "accept",
    "accept_bulk",
    "cancel",
    "carry",
    "carry_host",
    "is_cancellable",
    "may_cancel",
    "replayed",
    "settle",
    "settle_report",
    "sweep",
    "wait_for",
]
