"""Who may open a console: a ticket is given to a login, and taken from the same login alone."""

import logging
from collections.abc import Collection
from typing import Final, NamedTuple, TypedDict

from access import audit
from access.choices import Action, Result
from access.errors import LoginEnded
from access.logins import Login, origin_of, rights_of_logins
from access.permissions import may, rights_of
from access.rounds import Rounds

from .. import tickets
from ..models import Domain

logger = logging.getLogger(__name__)

CONSOLE_PATH = "/ws/console/"


class ConsoleTicket(TypedDict):
    """What opens a console: the first message to `url` carries `ticket`, within `expires_in` seconds."""

    ticket: str
    expires_in: int
    url: str


def offer_console(domain: Domain, *, kind: str, login: Login) -> ConsoleTicket:
    """Give a ticket to the console of a domain. Raises DomainError, RedisError.

    Whether the domain runs and has such a device its host alone knows; it tells when the console is opened.
    """
    if refusal := domain.refusal:
        raise refusal
    ticket = tickets.issue(tickets.Grant(domain.pk, kind, login.digest))
    return ConsoleTicket(ticket=ticket, expires_in=tickets.LAST_SECONDS, url=CONSOLE_PATH)


class Admission(NamedTuple):
    """What a ticket opens, and whether its user may type there or only look on."""

    domain: Domain
    kind: str
    may_type: bool


def admit_to_console(ticket: str, *, login: Login, source: str = "") -> Admission | None:
    """Return what a ticket opens; None if it opens nothing to this login. Raises LoginEnded, RedisError.

    `source` is the address from which it is asked.
    """
    user = login.user()
    if user is None or not rights_of(user):
        raise LoginEnded
    grant = tickets.redeem(ticket)
    domain = None
    if grant is not None and grant.login == login.digest:
        seen = Domain.objects.visible_to(user).select_related("host")
        domain = seen.filter(pk=grant.domain_id).first()
    by = origin_of(login, user, source)
    if grant is None or domain is None:
        refusal = {"result": Result.REFUSED, "problem": "ticket_refused"}
        audit.record(Action.CONSOLE_OPEN, audit.Target("domain"), by=by, **refusal)
        return None
    audit.record(Action.CONSOLE_OPEN, domain, detail={"kind": grant.kind, "host": str(domain.host)}, by=by)
    logger.info("User %s opens the %s console of domain %s.", user.pk, grant.kind, domain.pk)
    return Admission(domain, grant.kind, may(user, "type", domain))


class Seat(NamedTuple):
    """Somebody at an open console: by which login, at which domain, and whether he types."""

    login: Login
    domain_id: int
    types: bool


def may_stay(seats: Collection[Seat]) -> dict[Seat, bool]:
    """Whether each login is still good, and its user may still be there. Five queries, for any number."""
    rights = rights_of_logins({seat.login for seat in seats})
    domains = Domain.objects.in_bulk({seat.domain_id for seat in seats})
    return {
        seat: seat.domain_id in domains
        and rights[seat.login].allow("type" if seat.types else "console", domains[seat.domain_id])
        for seat in seats
    }


# What consoles wait for, to end with what they were opened by.
open_seats: Final = Rounds(may_stay)
