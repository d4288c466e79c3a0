"""What discovery does. One idea per module; this is what the rest of the server calls."""

from .carrying import carry
from .crawls import beat, cancel, cancel_by_hand, reap, request_crawl, start_by_hand, wait_if_lost
from .own import OwnNetwork, own_networks
from .ranges import create_range, may_dial, record_deletion, release_addresses, update_range
from .schedule import request_due
from .summaries import address_grid, counts, counts_of

__all__ = [
    "OwnNetwork",
    "address_grid",
    "beat",
    "cancel",
    "cancel_by_hand",
    "carry",
    "counts",
    "counts_of",
    "create_range",
    "may_dial",
    "own_networks",
    "reap",
    "record_deletion",
    "release_addresses",
    "request_crawl",
    "request_due",
    "start_by_hand",
    "update_range",
    "wait_if_lost",
]
