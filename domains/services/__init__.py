"""The mirror of the hosts' domains, and what is asked of one domain."""

from .details import refresh_details, screenshot, wish_details, xml
from .difference import Difference, diff
from .mirror import count_domains, mirror

__all__ = [
    "Difference",
    "count_domains",
    "diff",
    "mirror",
    "refresh_details",
    "screenshot",
    "wish_details",
    "xml",
]
