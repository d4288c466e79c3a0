"""What is refused of a domain.

DomainError
├── HostNotOwned     its host is not owned, so it is not asked
└── DomainMissing    its host does not list it any more
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class DomainError(Exception):
    """`problem` is a stable word; the text is for people."""

    problem: str
    sentence: str | Promise

    def __init__(self) -> None:
        super().__init__(str(self.sentence))


class HostNotOwned(DomainError):
    problem = "host_not_owned"
    sentence = _("Its host is not owned, so it is not asked.")


class DomainMissing(DomainError):
    problem = "domain_missing"
    sentence = _("Its host does not list this domain any more.")
