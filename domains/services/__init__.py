"""The mirror of the hosts' domains, and what is asked of one domain."""

from .consoles import admit_to_console, may_use_consoles, offer_console
from .details import refresh_details, screenshot, wish_details, xml
from .difference import Difference, diff
from .history import MAX_POINTS, Line, Window, measured, series_of
from .mirror import count_domains, mirror
from .rolling import roll_up
from .sampling import look, record_stats, stats_period
from .sparklines import sparklines

__all__ = [
    "MAX_POINTS",
    "Difference",
    "Line",
    "Window",
    "admit_to_console",
    "count_domains",
    "diff",
    "look",
    "may_use_consoles",
    "measured",
    "mirror",
    "offer_console",
    "record_stats",
    "refresh_details",
    "roll_up",
    "screenshot",
    "series_of",
    "sparklines",
    "stats_period",
    "wish_details",
    "xml",
]
