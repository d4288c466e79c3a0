"""The pages of domains. They show the mirror and its age, and never wait for a hypervisor."""

from .acting import edit, forget, verb, verbs
from .bulk import bulk
from .console import console
from .defining import define
from .domain import definition, domain, screen
from .table import domains, of_host, row

__all__ = [
    "bulk",
    "console",
    "define",
    "definition",
    "domain",
    "domains",
    "edit",
    "forget",
    "of_host",
    "row",
    "screen",
    "verb",
    "verbs",
]
