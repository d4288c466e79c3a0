"""One verb on many domains: which ones a selector means, and which of them can be told it now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, TypedDict

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from access import audit
from access.choices import Action, Role
from access.permissions import Rights, rights_of
from access.verbs import needed
from hosts.choices import TargetType
from hosts.errors import BadInput
from hosts.models import Operation
from hosts.services import BulkTarget, accept_bulk, replayed

from ..errors import DomainError, NothingToDo
from ..models import Domain, DomainQuerySet
from ..verbs import VERBS
from .acting import fingerprint_of, judge

MOST_DOMAINS: Final = 5000
# A parent keeps the reasons of so many that were left out, and the number of all.
REASONS_KEPT: Final = 100
LONGEST_STAGGER: Final = 3600
Order = Literal["given", "name", "-name", "host"]
ORDERS: Final[Mapping[Order, tuple[str, ...]]] = {
    "given": ("name", "pk"),
    "name": ("name", "pk"),
    "-name": ("-name", "pk"),
    "host": ("host__hostname", "host", "name", "pk"),
}


class Selector(TypedDict, total=False):
    """Which domains are meant: those that fit all that is given. `ids` and `host` are the server's own."""

    ids: Sequence[int]
    host: int
    tag: str
    state: str


@dataclass(frozen=True)
class Plan:
    """What a bulk operation would do: the domains in their order, and those left out, each with why."""

    chosen: list[Domain] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)


def plan(*, verb: str, selector: Selector, actor: User, order: Order = "given") -> Plan:
    """Tell which domains would be told `verb`, and which would be left out and why. Nothing is changed.

    What `actor` may not see is not there: a selector does not find it, and tells of its id that of no domain.

    Raises:
        PermissionDenied: when `actor` may do this to no domain at all.
        BadInput: when the selector is empty, or means more than 5,000 domains.
    """
    found, rights = Plan(), rights_of(actor)
    if not rights.anywhere(needed(verb)):
        raise PermissionDenied
    for domain in _selected(selector, order, rights):
        try:
            judge(domain, VERBS[verb], rights)
            found.chosen.append(domain)
        except DomainError as refusal:
            found.skipped.append(_left_out(domain, refusal))
    known = {domain.pk for domain in found.chosen} | {row["id"] for row in found.skipped}
    gone = {"type": "not_found", "detail": _("There is no such domain.")}
    if set(selector) == {"ids"}:
        found.skipped.extend({"id": pk, "problem": gone} for pk in selector["ids"] if pk not in known)
    return found


def bulk(
    *,
    verb: str,
    selector: Selector,
    actor: User,
    order: Order = "given",
    stagger: int = 0,
    stop_on_failure: bool = False,
    key: str = "",
) -> Operation:
    """Accept `verb` for all domains that a selector means, as one operation with a child for each.

    `stagger` are seconds between two beginnings; with `stop_on_failure` they go one after another, and the
    first that does not succeed keeps the others from beginning. Domains that cannot be told this now are left
    out, and named in the result.

    Raises:
        PermissionDenied: when `actor` may do this to no domain at all.
        BadInput: when the selector is empty, or means more than 5,000 domains.
        NothingToDo: when none of them can be told this now.
        KeyReused: when the key was used for something else.
    """
    asked: dict[str, Any] = {"selector": dict(selector), "order": order}
    fingerprint = fingerprint_of(f"bulk {verb}", [asked, stagger, stop_on_failure])
    first = replayed(actor, key, fingerprint)
    if first is not None:
        return first
    found = plan(verb=verb, selector=selector, actor=actor, order=order)
    with audit.refusals(
        Action.OPERATION_ACCEPT, audit.Target(TargetType.SELECTION), actor=actor, detail={"verb": verb}
    ):
        if not found.chosen:
            raise NothingToDo(found.skipped[:REASONS_KEPT])
    return accept_bulk(
        verb=verb,
        targets=[_target(domain) for domain in found.chosen],
        skipped=found.skipped[:REASONS_KEPT],
        skipped_total=len(found.skipped),
        options=asked,
        deadline=timedelta(seconds=VERBS[verb].deadline),
        stagger=timedelta(seconds=stagger),
        stop_on_failure=stop_on_failure,
        actor=actor,
        key=key,
        fingerprint=fingerprint,
    )


def _selected(selector: Selector, order: Order, rights: Rights) -> list[Domain]:
    if not any(selector.get(name) for name in Selector.__annotations__):
        raise BadInput("selector", _("Say which domains are meant."))
    rows: DomainQuerySet = Domain.objects.granted(rights, Role.VIEWER).select_related("host")
    ids = selector.get("ids")
    if ids is not None:
        # An empty list means no domain. Taken for no list, the rest of the selector would mean too many.
        rows = rows.filter(pk__in=ids)
    if host := selector.get("host"):
        rows = rows.filter(host=host)
    if state := selector.get("state"):
        rows = rows.filter(state=state)
    if tag := selector.get("tag"):
        rows = rows.tagged(tag)
    if ids and order == "given":
        place = {pk: number for number, pk in reversed(list(enumerate(ids)))}
        found = sorted(rows[: MOST_DOMAINS + 1], key=lambda domain: place[domain.pk])
    else:
        found = list(rows.order_by(*ORDERS[order])[: MOST_DOMAINS + 1])
    if len(found) > MOST_DOMAINS:
        raise BadInput("selector", _("These are more than %(most)d domains.") % {"most": MOST_DOMAINS})
    return found


def _left_out(domain: Domain, refusal: DomainError) -> dict[str, Any]:
    problem = {"type": refusal.problem, "detail": str(refusal)}
    return {"id": domain.pk, "name": domain.name, "host": domain.host_id, "problem": problem}


def _target(domain: Domain) -> BulkTarget:
    return BulkTarget(domain.pk, domain.uuid, domain.name, domain.host_id, str(domain.host))
