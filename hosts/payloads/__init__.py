"""What daemons say, checked: types, ranges, lengths and numbers, without control characters.

A daemon may lie. Each function takes parsed JSON and returns plain facts, or raises BadPayload. Pure, and
fast enough for the listings of a thousand hosts. Unknown fields are ignored: a daemon may be newer.
"""

from .certificates import signing_request
from .domains import (
    DOMAIN_STATES,
    MAX_DOMAINS,
    Console,
    Disk,
    DomainDetails,
    DomainFacts,
    Graphics,
    Interface,
    domain_details,
    domain_facts,
    domain_list,
)
from .hosts import MAX_HOST_MEMORY, HostFacts, api_versions, host_facts
from .operations import VERDICTS, OperationDocument, Problem, operation_document

__all__ = [
    "DOMAIN_STATES",
    "MAX_DOMAINS",
    "MAX_HOST_MEMORY",
    "VERDICTS",
    "Console",
    "Disk",
    "DomainDetails",
    "DomainFacts",
    "Graphics",
    "HostFacts",
    "Interface",
    "OperationDocument",
    "Problem",
    "api_versions",
    "domain_details",
    "domain_facts",
    "domain_list",
    "host_facts",
    "operation_document",
    "signing_request",
]
