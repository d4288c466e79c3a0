"""Writing what hosts tell of their domains into the mirror: the difference, and nothing else."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from hosts.live import FLEET, News, publish_all
from hosts.models import Host
from hosts.payloads import MAX_DOMAINS, DomainFacts

from ..choices import DomainState
from ..models import Domain
from .difference import FACTS, Difference, Known, diff, diff_of_some, fields_of

ROWS_PER_STATEMENT = 500
# Of more rows of a host that change at once a page hears as of a whole list: it would fetch that anyway.
MANY_ROWS = 50
# Of one host, with those that it does not list any more, which only a person forgets.
MOST_ROWS = 10 * MAX_DOMAINS


class Report(NamedTuple):
    """What a host told of some of its domains; `gone` are those that it has no more."""

    host_id: int
    domains: Sequence[DomainFacts]
    gone: Collection[UUID] = ()


def mirror(
    host: Host,
    domains: Sequence[DomainFacts],
    *,
    as_of: datetime | None = None,
    listed_before: datetime | None = None,
    adds: bool = True,
) -> Difference:
    """Make the mirror of `host` say what the host reported, in one transaction.

    A listing that changes nothing writes nothing. A persistent domain that is not reported any more is marked
    (`missing_since`), since absence is not deletion; a transient one has ended, and goes. What was written
    after `as_of`, when the host was asked, is newer than its answer, and stays. What has vanished was seen
    when the host was `listed_before`. Without `adds` what is not known stays so: what went after `as_of` has
    left no row that would tell.
    """
    with transaction.atomic():
        rows = Domain.objects.filter(host=host)
        known = _known(rows).get(host.pk, {})
        newer = set(_written_after(rows, as_of)) if as_of else set()
        difference = diff(
            {uuid: row for uuid, row in known.items() if uuid not in newer},
            [facts for facts in domains if facts["uuid"] not in newer and (adds or facts["uuid"] in known)],
        )
        _apply({host.pk: difference})
        _mark_missing(difference.vanished, listed_before)
    return difference


def report(reports: Collection[Report]) -> None:
    """Write what hosts told of single domains, at most once each; what they do not name stays as it is.

    One transaction, and a number of queries that does not depend on how many they are. A domain that is gone
    leaves no row: its host said so.
    """
    named = {facts["uuid"] for told in reports for facts in told.domains}
    named.update(uuid for told in reports for uuid in told.gone)
    if not named:
        return
    with transaction.atomic(savepoint=False):
        known = _known(Domain.objects.filter(host_id__in={told.host_id for told in reports}, uuid__in=named))
        _apply(
            {
                told.host_id: diff_of_some(known.get(told.host_id, {}), told.domains, told.gone)
                for told in reports
            }
        )


def _known(rows: QuerySet[Domain]) -> Mapping[int, dict[UUID, Known]]:
    # No models: most listings change nothing, and making a row of each domain cost more than comparing it.
    found: dict[int, dict[UUID, Known]] = defaultdict(dict)
    for host_id, uuid, pk, missing, *facts in rows.order_by().values_list(
        "host_id", "uuid", "pk", "missing_since", *FACTS
    ):
        found[host_id][uuid] = Known(pk, missing is not None, tuple(facts))
    return found


def _written_after(rows: QuerySet[Domain], moment: datetime) -> QuerySet[Domain, UUID]:
    # A time to come is of a clock that was set back since, and says nothing.
    now = timezone.now()
    seen = Q(last_seen__gt=moment, last_seen__lte=now)
    missed = Q(missing_since__gt=moment, missing_since__lte=now)
    return rows.filter(seen | missed).values_list("uuid", flat=True)


def _mark_missing(vanished: Collection[int], listed_before: datetime | None) -> None:
    """Mark what is not reported any more; what was transient has ended. The last known state stays."""
    if not vanished:
        return
    rows = Domain.objects.filter(pk__in=vanished)
    rows.filter(persistent=False).delete()
    if listed_before:
        rows.filter(last_seen__lt=listed_before).update(last_seen=listed_before)
    rows.update(missing_since=timezone.now())


def _apply(differences: Mapping[int, Difference]) -> None:
    """Write the differences of hosts, by their keys, and tell of them. In a transaction."""
    differences = _within_room(differences)
    now = timezone.now()
    present = [
        Domain(host_id=host_id, uuid=facts["uuid"], first_seen=now, last_seen=now, **fields_of(facts))
        for host_id, difference in sorted(differences.items())
        for facts in [*difference.appeared, *(facts for _, facts in difference.changed)]
    ]
    Domain.objects.bulk_create(
        # Whoever writes several rows does it in one order, so that two never wait for each other.
        sorted(present, key=lambda row: (row.host_id, row.uuid)),
        batch_size=ROWS_PER_STATEMENT,
        # Two reports of one host may be written at once, by a probe and by a person: the later one counts.
        update_conflicts=True,
        unique_fields=["host", "uuid"],
        update_fields=[*FACTS, "last_seen", "missing_since"],
    )
    removed = [pk for difference in differences.values() for pk in difference.removed]
    if removed:
        Domain.objects.filter(pk__in=removed).delete()
    publish_all(_news(differences))


def _within_room(differences: Mapping[int, Difference]) -> Mapping[int, Difference]:
    """Leave out what a host tells beyond MOST_ROWS: one that lies must not fill the disk."""
    growing = [host_id for host_id, difference in differences.items() if difference.appeared]
    if not growing:
        return differences
    rows = Domain.objects.filter(host__in=growing).order_by().values_list("host")
    known = dict(rows.annotate(n=Count("pk")))
    kept = dict(differences)
    for host_id in growing:
        room = max(0, MOST_ROWS - known.get(host_id, 0))
        kept[host_id] = kept[host_id]._replace(appeared=kept[host_id].appeared[:room])
    return kept


def _news(differences: Mapping[int, Difference]) -> list[News]:
    news: list[News] = []
    for host_id, difference in differences.items():
        everybody = (FLEET, f"host.{host_id}")
        changed = [pk for pk, _ in difference.changed]
        lost = [*difference.vanished, *difference.removed]
        many = len(changed) > MANY_ROWS
        if difference.appeared or lost or many:
            news.append(News("domains.changed", host_id, everybody))
        rows = () if many else everybody
        news += [News("domain.changed", pk, (*rows, f"domain.{pk}")) for pk in changed]
        news += [News("domain.changed", pk, (f"domain.{pk}",)) for pk in lost]
    return news


def count_domains(host_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Return for each host how many present domains it has: in `total`, and in each state."""
    counts = {host_id: dict.fromkeys(["total", *DomainState.values], 0) for host_id in host_ids}
    rows = Domain.objects.present().filter(host_id__in=host_ids).order_by().values("host_id", "state")
    for row in rows.annotate(n=Count("pk")):
        counts[row["host_id"]][row["state"]] += row["n"]
        counts[row["host_id"]]["total"] += row["n"]
    return counts
