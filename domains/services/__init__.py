"""The mirror of the hosts' domains, and what is asked of one domain."""

from .consoles import admit_to_console, may_use_consoles, offer_console
from .details import refresh_details, screenshot, wish_details, xml
from .difference import Difference, diff
from .mirror import count_domains, mirror
from .sampling import look, record_stats, stats_period

__all__ = [
    "Difference",
    "admit_to_console",
    "count_domains",
    "diff",
    "look",
    "may_use_consoles",
    "mirror",
    "offer_console",
    "record_stats",
    "refresh_details",
    "screenshot",
    "stats_period",
    "wish_details",
    "xml",
]
