"""What discovery does. One idea per module; this is what the rest of the server calls."""

from .carrying import carry
from .crawls import beat, cancel, reap, request_crawl, wait_if_lost
from .own import OwnNetwork, own_networks
from .ranges import create_range, may_dial, release_addresses, update_range
from .schedule import request_due
from .views import address_grid, counts, counts_of

__all__ = [
    "OwnNetwork",
    "address_grid",
    "beat",
    "cancel",
    "carry",
    "counts",
    "counts_of",
    "create_range",
    "may_dial",
    "own_networks",
    "reap",
    "release_addresses",
    "request_crawl",
    "request_due",
    "update_range",
    "wait_if_lost",
]
