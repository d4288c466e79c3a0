"""Writing a host's listing into the mirror: the difference, and nothing else."""

from collections.abc import Collection, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from hosts.live import FLEET, News, publish, publish_all
from hosts.models import Host
from hosts.payloads import DomainFacts

from ..choices import DomainState
from ..models import Domain
from .difference import FACTS, Difference, Known, diff, fields_of

ROWS_PER_STATEMENT = 500


def mirror(host: Host, domains: Sequence[DomainFacts]) -> Difference:
    """Make the mirror of `host` say what the host reported, in one transaction.

    A listing that changes nothing writes nothing. A persistent domain that is not reported any more is marked
    (`missing_since`), since absence is not deletion; a transient one has ended, and goes.
    """
    with transaction.atomic():
        difference = diff(_known(host), domains)
        _write(host, difference)
        _tell(host, difference)
    return difference


def _known(host: Host) -> dict[UUID, Known]:
    # No models: most listings change nothing, and making a row of each domain cost more than comparing it.
    rows = Domain.objects.filter(host=host).order_by().values_list("uuid", "pk", "missing_since", *FACTS)
    return {uuid: Known(pk, missing is not None, tuple(facts)) for uuid, pk, missing, *facts in rows}


def _write(host: Host, difference: Difference) -> None:
    now = timezone.now()
    present = [*difference.appeared, *(facts for _, facts in difference.changed)]
    Domain.objects.bulk_create(
        [
            Domain(host=host, uuid=facts["uuid"], first_seen=now, last_seen=now, **fields_of(facts))
            for facts in present
        ],
        batch_size=ROWS_PER_STATEMENT,
        # Two listings of one host may be written at once, by a probe and by a person: the later one counts.
        update_conflicts=True,
        unique_fields=["host", "uuid"],
        update_fields=[*FACTS, "last_seen", "missing_since"],
    )
    if difference.vanished:
        vanished = Domain.objects.filter(pk__in=difference.vanished)
        vanished.filter(persistent=False).delete()
        # The last known state stays. It was seen until the listing before this one, a moment ago.
        vanished.update(missing_since=now, last_seen=now)


def _tell(host: Host, difference: Difference) -> None:
    if not any(difference):
        return
    publish("domains.changed", host.pk, FLEET, f"host.{host.pk}")
    rows = [*(pk for pk, _ in difference.changed), *difference.vanished]
    publish_all([News("domain.changed", pk, (f"domain.{pk}",)) for pk in rows])


def count_domains(host_ids: Collection[int]) -> dict[int, dict[str, int]]:
    """Return for each host how many present domains it has: in `total`, and in each state."""
    counts = {host_id: dict.fromkeys(["total", *DomainState.values], 0) for host_id in host_ids}
    rows = Domain.objects.present().filter(host_id__in=host_ids).order_by().values("host_id", "state")
    for row in rows.annotate(n=Count("pk")):
        counts[row["host_id"]][row["state"]] += row["n"]
        counts[row["host_id"]]["total"] += row["n"]
    return counts
