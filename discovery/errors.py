"""What can go wrong in discovery.

DiscoveryError
|- BadRange             a range that cannot be (also a ValidationError of the field that is wrong)
|  `- RangeTooLarge     more addresses than a range may have
|- NoCrawl              a crawl was asked for, and not made
|  |- RangeDisabled     nothing of a disabled range is sent a packet
|  `- CrawlRunning      the same phase runs on the same range already
|- CrawlEnded           the crawl was cancelled, or given up, while its process still worked on it
`- ScanFailed           nmap did not do its work; `problem` is a stable word
"""

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class DiscoveryError(Exception):
    """Base of all errors of this app. The text is for people."""


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


class NoCrawl(DiscoveryError):
    """A crawl was asked for, and not made. `problem` is a stable word, `more` what a program may use."""

    problem: str
    sentence: str | Promise

    def __init__(self, **more: object) -> None:
        self.more = more
        super().__init__(str(self.sentence))


class RangeDisabled(NoCrawl):
    problem = "range_disabled"
    sentence = _("The range is switched off: nothing in it is sent a packet.")


class CrawlRunning(NoCrawl):
    """`crawl` is the id of the crawl that runs; None when it has just ended."""

    problem = "crawl_running"
    sentence = _("This phase is running on this range already.")

    def __init__(self, crawl: int | None) -> None:
        self.crawl = crawl
        super().__init__(crawl=crawl)


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
