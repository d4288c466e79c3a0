"""Verbs on domains: judged by the last known state, and accepted as operations. No host is asked here."""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from access import audit
from access.choices import Action, Target
from access.models import Grant
from access.permissions import Rights, demand, rights_of
from hosts.choices import TargetType, Trust
from hosts.models import Host, Operation
from hosts.services import accept, replayed

from ..choices import DomainState
from ..errors import DomainError, DomainPresent, HostNotOwned, NotGranted, WrongState
from ..models import Domain
from ..verbs import VERBS, Verb, allows, fits

DEFINE_DEADLINE: Final = timedelta(seconds=60)


def act(
    domain: Domain,
    verb: str,
    *,
    args: Mapping[str, Any] | None = None,
    actor: User,
    key: str = "",
    here: bool = False,
) -> Operation:
    """Accept a verb of VERBS for a domain; workers carry it out, unless the caller will wait (`here`).

    The same Idempotency-Key and arguments give the first operation again, whatever the domain's state is now.
    That its host is silent is no refusal: the operation is sent as soon as it is back.

    Raises:
        PermissionDenied: when `actor` may not do this to the domain.
        WrongState: when its last known state does not allow that.
        DomainMissing, HostNotOwned: when there is nobody to be asked.
        KeyReused: when the key was used for something else.
    """
    demand(actor, verb, domain)
    asked = dict(args or {})
    demand_tags(actor, domain, asked)
    fingerprint = fingerprint_of(verb, [domain.pk, asked])
    first = replayed(actor, key, fingerprint)
    if first is not None:
        return first
    with audit.refusals(Action.OPERATION_ACCEPT, domain, actor=actor, detail={"verb": verb}):
        judge(domain, VERBS[verb], rights_of(actor))
    return accept(
        host=domain.host,
        target_type=TargetType.DOMAIN,
        target_id=domain.pk,
        target_uuid=domain.uuid,
        target_name=domain.name,
        verb=verb,
        args=asked,
        deadline=timedelta(seconds=VERBS[verb].deadline),
        actor=actor,
        key=key,
        fingerprint=fingerprint,
        here=here,
    )


def define(
    host: Host,
    *,
    xml: str,
    precondition: dict[str, Any] | None = None,
    actor: User,
    key: str = "",
    here: bool = False,
) -> Operation:
    """Accept the definition of a domain on a host. Its daemon judges the XML.

    `precondition` is `{"xml_hash"}` of the definition that its writer has read, None of a domain that must
    not exist; the daemon refuses another one. Without it, what is there is replaced.

    Raises:
        PermissionDenied: when `actor` may not define domains there.
        HostNotOwned: when the host is not asked.
        KeyReused: when the key was used for something else.
    """
    demand(actor, "define", host)
    args = {"xml": xml}
    fingerprint = fingerprint_of("define", [host.pk, args, precondition])
    first = replayed(actor, key, fingerprint)
    if first is not None:
        return first
    with audit.refusals(Action.OPERATION_ACCEPT, host, actor=actor, detail={"verb": "define"}):
        if host.trust != Trust.OWNED:
            raise HostNotOwned
    return accept(
        host=host,
        target_type=TargetType.HOST,
        target_id=host.pk,
        target_uuid=host.uuid,
        target_name=str(host),
        verb="define",
        args=args,
        precondition=precondition,
        deadline=DEFINE_DEADLINE,
        actor=actor,
        key=key,
        fingerprint=fingerprint,
        here=here,
    )


def forget(domain: Domain) -> None:
    """Delete the row of a domain that its host does not list any more. Nothing on the hypervisor changes.

    Raises:
        DomainPresent: when it is listed.
    """
    with audit.deed(Action.DOMAIN_FORGET, domain, detail={"host": str(domain.host)}):
        if not Domain.objects.filter(pk=domain.pk, missing_since__isnull=False).delete()[0]:
            raise DomainPresent


def demand_tags(actor: User, domain: Domain, changes: Mapping[str, Any]) -> None:
    """Raise PermissionDenied when somebody else than an administrator would change who has rights on it.

    A tag that something was granted on is such a change: an operator of one domain could hand it to all who
    were granted the tag, or give himself what he has on these.
    """
    changed = set(domain.tags) ^ set(changes.get("tags", domain.tags))
    if changed and Grant.objects.filter(target=Target.TAG, tag__in=changed).exists():
        demand(actor, "administer", domain)


def actions_of(domain: Domain, rights: Rights) -> list[str]:
    """The verbs that may be used on a domain now by who has these rights, in the order of VERBS."""
    if domain.refusal:
        return []
    return [name for name, verb in VERBS.items() if _allows(domain, verb) and rights.allow(name, domain)]


def judge(domain: Domain, verb: Verb, rights: Rights) -> None:
    """Raise DomainError when the verb cannot be used on the domain now by who has these rights."""
    if not rights.allow(verb.name, domain):
        raise NotGranted
    if refusal := domain.refusal:
        raise refusal
    if not _allows(domain, verb):
        raise _wrong_state(domain, verb, rights)


def fingerprint_of(verb: str, asked: object) -> str:
    """SHA-256 of what is asked: two requests with one key are the same if this is."""
    return hashlib.sha256(json.dumps([verb, asked], sort_keys=True).encode()).hexdigest()


def _allows(domain: Domain, verb: Verb) -> bool:
    return allows(
        verb,
        state=domain.state,
        active=domain.libvirt_id is not None,
        persistent=domain.persistent,
        has_managed_save=domain.has_managed_save,
    )


def _wrong_state(domain: Domain, verb: Verb, rights: Rights) -> DomainError:
    """A refusal that says what the domain is, and what is possible instead."""
    actions = actions_of(domain, rights)
    possible = [str(VERBS[name].label) for name in actions if VERBS[name].button]
    values = {
        "name": domain.name,
        "state": DomainState(domain.state).label.lower(),
        "verb": verb.label,
        "possible": ", ".join(possible) or "-",
    }
    if not fits(verb, state=domain.state, active=domain.libvirt_id is not None):
        why = _("“%(name)s” is %(state)s, so “%(verb)s” is not possible now.")
    elif verb.persistent and not domain.persistent:
        why = _("“%(name)s” is transient: it has no definition on its host, which “%(verb)s” needs.")
    else:
        why = _("“%(name)s” has no saved state, which “%(verb)s” needs.")
    return WrongState(f"{why} {_('Possible: %(possible)s.')}" % values, actions)
