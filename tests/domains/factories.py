"""Hosts and what they report, for tests."""

import itertools
import uuid
from typing import Any, cast

from django.utils import timezone

from domains.models import Domain
from domains.services import mirror
from hosts.choices import Trust
from hosts.models import Host
from hosts.payloads import DomainFacts

numbers = itertools.count(1)


def owned_host(**fields: Any) -> Host:
    number = next(numbers)
    given: dict[str, Any] = {
        "uuid": uuid.uuid4(),
        "hostname": f"host-{number}",
        "address": f"192.0.2.{number % 250 + 1}",
        "trust": Trust.OWNED,
        "last_seen": timezone.now(),
        "listed_at": timezone.now(),
    }
    return Host.objects.create(**given | fields)


def facts(**fields: Any) -> DomainFacts:
    given: dict[str, Any] = {
        "uuid": uuid.uuid4(),
        "name": f"domain-{next(numbers)}",
        "id": None,
        "state": "shutoff",
        "reason": "",
        "vcpus": 2,
        "memory": 2**30,
        "max_memory": 2**31,
        "persistent": True,
        "autostart": False,
        "has_managed_save": False,
        "title": "",
        "description": "",
        "tags": [],
    }
    return cast("DomainFacts", given | fields)


def domain(host: Host | None = None, **fields: Any) -> Domain:
    """A domain that came into the mirror as all do: by a listing."""
    host = host or owned_host()
    report = facts(**fields)
    known = [_as_reported(row) for row in Domain.objects.filter(host=host).present()]
    mirror(host, [*known, report])
    return Domain.objects.with_stale().select_related("host").get(host=host, uuid=report["uuid"])


def _as_reported(row: Domain) -> DomainFacts:
    fields = {name: getattr(row, name) for name in DomainFacts.__annotations__ if name != "id"}
    return cast("DomainFacts", fields | {"id": row.libvirt_id})
