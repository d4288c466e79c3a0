"""How often one may guess. It is counted by where a guess comes from, and never by the name alone: else
whoever knows a name could lock its owner out.
"""

import unicodedata
from collections.abc import Callable

from allauth.core.internal import ratelimit
from django.http import HttpRequest

RATES = {
    "source": "10/m/ip,60/h/ip",
    "one_by_source": "5/5m/key",
    "one_by_all": "60/h/key",
}


def alike(name: str) -> str:
    """The same text for all spellings that lead to one account."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def count(request: HttpRequest, guessed: str, *, password_known: bool = False) -> Callable[[], None] | None:
    """Count a guess, and return what takes it back if it was right; None is one too many.

    Who has given the right password is not just anybody: his guesses at the code are counted from all
    sources together, too, for a code has six digits only.
    """
    kinds = [("source", ""), ("one_by_source", f"{ratelimit.get_ip(request)} {guessed}")]
    if password_known:
        kinds.append(("one_by_all", guessed))
    counted = []
    for action, key in kinds:
        usage = ratelimit.consume(request, app="access", action=action, config=RATES, key=key)
        if usage is None:
            return None
        counted.append(usage)

    def take_back() -> None:
        for usage in counted:
            usage.rollback()

    return take_back
