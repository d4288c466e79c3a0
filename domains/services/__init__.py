"""The mirror of the hosts' domains, and what is asked of one domain."""

from .acting import act, actions_of, define, fingerprint_of, forget
from .consoles import Seat, admit_to_console, offer_console, open_seats
from .details import refresh_details, screenshot, wish_details, xml
from .difference import Difference, diff
from .history import MAX_POINTS, Line, Window, measured, series_of
from .mirror import Report, count_domains, mirror, report
from .rolling import roll_up
from .sampling import last_counters, look, record_stats, stats_period
from .selecting import LONGEST_STAGGER, MOST_DOMAINS, ORDERS, Plan, Selector, bulk, plan
from .sparklines import sparklines
from .texts import one_line, paragraphs, xml_of_a_size
from .usage import usage_of

__all__ = [
    "LONGEST_STAGGER",
    "MAX_POINTS",
    "MOST_DOMAINS",
    "ORDERS",
    "Difference",
    "Line",
    "Plan",
    "Report",
    "Seat",
    "Selector",
    "Window",
    "act",
    "actions_of",
    "admit_to_console",
    "bulk",
    "count_domains",
    "define",
    "diff",
    "fingerprint_of",
    "forget",
    "last_counters",
    "look",
    "measured",
    "mirror",
    "offer_console",
    "one_line",
    "open_seats",
    "paragraphs",
    "plan",
    "record_stats",
    "refresh_details",
    "report",
    "roll_up",
    "screenshot",
    "series_of",
    "sparklines",
    "stats_period",
    "usage_of",
    "wish_details",
    "xml",
    "xml_of_a_size",
]
