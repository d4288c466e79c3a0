"""The overview: what is wrong and where, in one look."""

from datetime import timedelta
from operator import attrgetter
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.db.models import Exists, F, OuterRef, Q, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from access.permissions import is_administrator, open_to_grants
from access.requests import PageRequest
from discovery.choices import CrawlState, Phase
from discovery.models import Crawl
from domains.choices import DomainState
from domains.models import Domain
from hosts.choices import OperationState, Status, TargetType, Trust
from hosts.models import Host, HostQuerySet, Operation, OperationQuerySet, QuarantinedKey

from .summary import summary_for

SHOWN = 8
# How long an operation that came to nothing needs attention, unless the same succeeded on the same since.
TROUBLE_LASTS: Final = timedelta(days=1)
TROUBLE: Final = (OperationState.FAILED, OperationState.EXPIRED, OperationState.UNKNOWN)


class Activity(NamedTuple):
    """One line of what happened lately; `kind` chooses its words."""

    at: object
    kind: str
    what: object


def recent(user: User) -> list[Activity]:
    """The last crawls that changed something, the last hosts that were found, and who asked for what."""
    hosts, operations = Host.objects.visible_to(user), Operation.objects.visible_to(user)
    lines = [Activity(host.first_seen, "host", host) for host in hosts.order_by("-first_seen")[:SHOWN]]
    asked = operations.filter(parent=None).order_by("-created_at")[:SHOWN]
    lines += [Activity(operation.created_at, "operation", operation) for operation in asked]
    if is_administrator(user):
        lines += _recent_crawls()
    return sorted(lines, key=attrgetter("at"), reverse=True)[:SHOWN]


def _recent_crawls() -> list[Activity]:
    found = Q(changes__appeared__gt=0) | Q(changes__vanished__gt=0) | Q(changes__changed__gt=0)
    crawls = Crawl.objects.filter(found).exclude(phase=Phase.PROBE).exclude(finished_at=None)
    crawls = crawls.select_related("range")
    return [Activity(crawl.finished_at, "crawl", crawl) for crawl in crawls.order_by("-finished_at")[:SHOWN]]


def troubled_hosts(seen: HostQuerySet) -> list[Host]:
    """Owned hosts that are not well, and hosts that wait for a decision; the longest silent first."""
    unwell = Q(trust=Trust.OWNED) & (~Q(status=Status.ONLINE) | Q(libvirt_alive=False) | ~Q(problem=""))
    waiting = Q(trust__in=[Trust.FOUND, Trust.PENDING])
    found = seen.with_status().filter(unwell | waiting)
    return list(found.order_by(F("last_seen").asc(nulls_first=True), "hostname")[: SHOWN + 1])


def troubled_operations(seen: OperationQuerySet) -> OperationQuerySet:
    """Operations of the last day of which nobody knows that they took effect; a bulk one by its parts."""
    done = Operation.objects.filter(
        target_type=OuterRef("target_type"),
        target_id=OuterRef("target_id"),
        verb=OuterRef("verb"),
        state=OperationState.SUCCEEDED,
        created_at__gt=OuterRef("created_at"),
    )
    recent = seen.filter(state__in=TROUBLE, created_at__gt=timezone.now() - TROUBLE_LASTS)
    parts = recent.exclude(target_type=TargetType.SELECTION)
    return parts.exclude(Exists(done)).order_by("-created_at", "-pk")


def memory(seen: HostQuerySet) -> dict[str, int]:
    """Bytes in use and in all, of owned hosts that tell both: libvirt says 0 free when it cannot tell."""
    told = seen.owned().filter(memory_free__gt=0).aggregate(total=Sum("memory"), free=Sum("memory_free"))
    total = told["total"] or 0
    return {"total": total, "used": total - (told["free"] or 0)}


@require_safe
@open_to_grants
def overview(request: PageRequest) -> HttpResponse:
    numbers = summary_for(request.user)
    hosts, operations = Host.objects.visible_to(request.user), Operation.objects.visible_to(request.user)
    running = Domain.objects.visible_to(request.user).present().filter(state=DomainState.RUNNING)
    vcpus = running.aggregate(n=Sum("vcpus"))["n"] or 0
    overdue = operations.with_overdue().filter(Q(is_overdue=True))
    failed = Crawl.objects.filter(state=CrawlState.FAILED).exclude(phase=Phase.PROBE).select_related("range")
    context = {
        "section": "overview",
        "numbers": numbers,
        # Who has a role on domains alone sees no host: nothing is said of what they are made of.
        "sees_hosts": request.rights.administers or any(numbers["hosts"]["trust"].values()),
        "memory": memory(hosts),
        "vcpus": vcpus,
        "vcpus_per_cpu": vcpus / numbers["cpus"] if numbers["cpus"] else None,
        "troubled": troubled_hosts(hosts),
        "overdue_operations": list(overdue.order_by("deadline", "pk")[: SHOWN + 1]),
        "troubled_operations": list(troubled_operations(operations)[: SHOWN + 1]),
        "shown": SHOWN,
        "failed_crawl": failed.first() if request.rights.administers else None,
        "quarantined": QuarantinedKey.objects.count() if request.rights.administers else 0,
        "recent": recent(request.user),
    }
    return render(request, "virshmanager/overview.html", context)
