"""Approving many hosts at once: each gets a verdict of its own, and none depends on another's."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils.translation import gettext

from ..errors import NotPossible
from ..models import Host
from .decisions import approve


@dataclass(frozen=True)
class Verdict:
    """What became of one host. `problem` is the stable word for `reason`; empty: it was approved."""

    id: int
    name: str
    problem: str = ""
    reason: str = ""


def approve_many(ids: Sequence[int], *, actor: User | None = None) -> list[Verdict]:
    """Approve each of these hosts, as `approve` does one, in their order; an id told twice counts once."""
    found = Host.objects.in_bulk(ids)
    return [_approve(pk, found.get(pk), actor) for pk in dict.fromkeys(ids)]


def _approve(pk: int, host: Host | None, actor: User | None) -> Verdict:
    if host is None:
        return Verdict(pk, str(pk), "not_found", gettext("There is no such host."))
    try:
        approve(host, actor=actor)
    except NotPossible as refusal:
        return Verdict(pk, str(host), refusal.problem, str(refusal))
    return Verdict(pk, str(host))
