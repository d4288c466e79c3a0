"""Writing a host's listing into the mirror: the difference, and nothing else."""

from collections.abc import Collection, Sequence

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from hosts.live import FLEET, News, publish, publish_all
from hosts.models import Host
from hosts.payloads import DomainFacts

from ..choices import DomainState
from ..models import Domain
from .difference import FACTS, Difference, diff, take

ROWS_PER_STATEMENT = 500


def mirror(host: Host, domains: Sequence[DomainFacts]) -> Difference:
    """Make the mirror of `host` say what the host reported, in one transaction.

    A listing that changes nothing writes nothing. A persistent domain that is not reported any more is marked
    (`missing_since`), since absence is not deletion; a transient one has ended, and goes.
    """
    with transaction.atomic():
        known = Domain.objects.filter(host=host).order_by()
        difference = diff(known, domains)
        _write(host, difference)
        _tell(host, difference)
    return difference


def _write(host: Host, difference: Difference) -> None:
    now = timezone.now()
    Domain.objects.bulk_create(
        [
            take(Domain(host=host, uuid=facts["uuid"], first_seen=now, last_seen=now), facts)
            for facts in difference.appeared
        ],
        batch_size=ROWS_PER_STATEMENT,
        # Two listings of one host may be written at once, by a probe and by a person: the later one counts.
        update_conflicts=True,
        unique_fields=["host", "uuid"],
        update_fields=[*FACTS, "last_seen", "missing_since"],
    )
    changed = [take(row, facts) for row, facts in difference.changed]
    for row in changed:
        row.last_seen = now
    Domain.objects.bulk_update(changed, [*FACTS, "last_seen", "missing_since"], batch_size=ROWS_PER_STATEMENT)
    ended = [row.pk for row in difference.vanished if not row.persistent]
    marked = [row.pk for row in difference.vanished if row.persistent]
    Domain.objects.filter(pk__in=ended).delete()
    # The last known state stays. It was seen until the listing before this one, a moment ago.
    Domain.objects.filter(pk__in=marked).update(missing_since=now, last_seen=now)


def _tell(host: Host, difference: Difference) -> None:
    if not any(difference):
        return
    publish("domains.changed", host.pk, FLEET, f"host.{host.pk}")
    rows = [*(row for row, _ in difference.changed), *difference.vanished]
    publish_all([News("domain.changed", row.pk, (f"domain.{row.pk}",)) for row in rows])


def count_domains(host_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Return for each host how many present domains it has: in `total`, and in each state."""
    counts = {host_id: dict.fromkeys(["total", *DomainState.values], 0) for host_id in host_ids}
    rows = Domain.objects.present().filter(host_id__in=host_ids).order_by().values("host_id", "state")
    for row in rows.annotate(n=Count("pk")):
        counts[row["host_id"]][row["state"]] += row["n"]
        counts[row["host_id"]]["total"] += row["n"]
    return counts
