"""What is refused of a domain.

DomainError
├── HostNotOwned     its host is not owned, so it is not asked
├── DomainMissing    its host does not list it any more
├── DomainPresent    its host lists it, so it is not forgotten
├── NotGranted       of the domains that were selected, it may be seen and not be told this
├── WrongState       its last known state does not allow that
└── NothingToDo      of the domains that were selected, none can be told this now
"""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class DomainError(Exception):
    """`problem` is a stable word; the text is for people."""

    problem: str
    sentence: str | Promise

    def __init__(self, text: str = "") -> None:
        super().__init__(text or str(self.sentence))


class HostNotOwned(DomainError):
    problem = "host_not_owned"
    sentence = _("Its host is not owned, so it is not asked.")


class DomainMissing(DomainError):
    problem = "domain_missing"
    sentence = _("Its host does not list this domain any more.")


class DomainPresent(DomainError):
    problem = "domain_present"
    sentence = _("Its host lists this domain. Only one that is missing there can be forgotten.")


class NotGranted(DomainError):
    """Why one of many is left out. Asked for alone it is refused before (PermissionDenied)."""

    problem = "permission_denied"
    sentence = _("You may see this domain, but not do that to it.")


class WrongState(DomainError):
    """`more["actions"]` are the verbs that are possible."""

    problem = "wrong_state"
    sentence = _("The domain's state does not allow that.")

    def __init__(self, text: str, actions: list[str]) -> None:
        super().__init__(text)
        self.more = {"actions": actions}


class NothingToDo(DomainError):
    """`more["skipped"]` tells of the selected domains why not."""

    problem = "nothing_to_do"
    sentence = _("None of the selected domains can be told this now.")

    def __init__(self, skipped: list[dict[str, Any]]) -> None:
        super().__init__()
        self.more = {"skipped": skipped}
