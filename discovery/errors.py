"""What can go wrong in discovery.

DiscoveryError
|- BadRange             a range that cannot be (also a ValidationError of the field that is wrong)
|  `- RangeTooLarge     more addresses than a range may have
|- RangeDisabled        no crawl: nothing of a disabled range is sent a packet (409)
|- CrawlRunning         the same phase runs on the same range already (409, with its id)
|- CrawlEnded           the crawl was cancelled, or given up, while its process still worked on it
`- ScanFailed           nmap did not do its work; `problem` is a stable word
"""

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException


class DiscoveryError(Exception):
    """Base of all errors of this app."""


class BadRange(DiscoveryError, ValidationError):
    """`field` of a range has a value that cannot be, and `reason` says why."""

    def __init__(self, field: str, reason: str) -> None:
        ValidationError.__init__(self, {field: reason})
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class RangeTooLarge(BadRange):
    pass


class RangeDisabled(DiscoveryError, APIException):
    status_code = 409
    default_code = "range_disabled"
    default_detail = _("The range is switched off: nothing in it is sent a packet.")


class CrawlRunning(DiscoveryError, APIException):
    """`crawl` is the id of the crawl that runs; None when it has just ended."""

    status_code = 409
    default_code = "crawl_running"
    default_detail = _("This phase is running on this range already.")

    def __init__(self, crawl: int | None) -> None:
        super().__init__()
        self.crawl = crawl
        self.more = {"crawl": crawl}


class CrawlEnded(DiscoveryError):
    pass


class ScanFailed(DiscoveryError):
    """`problem` is one of `sentences`; `detail` is what nmap or the system said, cleaned."""

    sentences: ClassVar = {
        "nmap_missing": _("nmap is not installed, or does not answer as nmap."),
        "nmap_killed": _("nmap was killed."),
        "nmap_failed": _("nmap ended with an error."),
        "nmap_timeout": _("nmap did not end in time."),
        "nmap_garbage": _("nmap answered something that cannot be read."),
        "no_resources": _("The system refused what nmap needs."),
        "rate_unguarded": _("The lease that guards the range's rate was lost."),
    }

    def __init__(self, problem: str, detail: str = "") -> None:
        self.problem = problem
        self.detail = detail
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.sentences[self.problem]} {self.detail}".strip()
