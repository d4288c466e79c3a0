"""The mirror of the hosts' domains, and what is asked of one domain."""

from .details import refresh_details, screenshot, wish_details, xml
from .difference import Difference, diff
from .mirror import count_domains, mirror
from .sampling import look, record_stats, stats_period

__all__ = [
    "Difference",
    "count_domains",
    "diff",
    "look",
    "mirror",
    "record_stats",
    "refresh_details",
    "screenshot",
    "stats_period",
    "wish_details",
    "xml",
]
