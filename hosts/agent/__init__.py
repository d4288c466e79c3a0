"""The Agent: calls to owned hosts, over mutual TLS.

A call dials an address, but TLS verifies the host's own name: a host that moved is found again, and no host
answers for another. One kept-alive session per host, at most four calls at a time, a breaker for hosts that
are down. Sessions and breakers belong to a process. All errors are of the tree in `errors`: the type says
whether to try again.
"""

from .calls import MOST_ACKNOWLEDGED, Agent, agent_of, forget_owner, hang_up
from .hops import HopReport, walk
from .listing import StreamedListing
from .recovery import Recovery

__all__ = [
    "MOST_ACKNOWLEDGED",
    "Agent",
    "HopReport",
    "Recovery",
    "StreamedListing",
    "agent_of",
    "forget_owner",
    "hang_up",
    "walk",
]
