"""Phase 4: are the known hypervisors of a range still there, and well? No nmap, one conversation each."""

import ipaddress
import logging
from collections.abc import Callable

from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from hosts import services
from hosts.choices import GIVEN_UP, OFFLINE_AFTER
from hosts.models import Host

from ..choices import Kind
from ..errors import CrawlEnded
from ..models import Address, Crawl, Range
from .meeting import PASSING, answer_of_meeting, answer_of_stranger, meet_all
from .records import Answer, Changes, fall, row_of, rows_with, upsert
from .targets import own_addresses
from .threads import database_threads

logger = logging.getLogger(__name__)

# Many wait, few compute.
PROBERS = 32


class Probing:
    """One probe of a range: of every host where it last proved itself, then of its other addresses."""

    def __init__(self, crawl: Crawl) -> None:
        self.range: Range = crawl.range
        self.port = crawl.port
        self.now = timezone.now()
        self.changes = Changes()
        self.hosts = _hosts_in(self.range)

    def probe_hosts(self, stopped: Callable[[], bool]) -> None:
        """Probe all hosts, and store what that showed. One that hangs keeps one thread, and no other host."""

        def probe(host: Host) -> Answer | None:
            if services.is_followed(host, self.now):
                # Its stream has just shown what a probe would ask.
                return Answer(Kind.HYPERVISOR, "", host.pk)
            return None if stopped() else _probe_alone(host)

        with database_threads(PROBERS, "probe") as pool:
            results = list(pool.map(probe, self.hosts))
        if stopped():
            raise CrawlEnded
        self._store(
            {host.address: answer for host, answer in zip(self.hosts, results, strict=True) if answer}
        )
        offline = Address.objects.filter(
            range=self.range,
            kind=Kind.HYPERVISOR,
            host__in=[host.pk for host in self.hosts],
            host__last_seen__lt=self.now - OFFLINE_AFTER,
        )
        fall(list(offline.values_list("pk", flat=True)), self.changes)

    def look_elsewhere(self) -> None:
        """A host may have several addresses, or have left one; whoever is there now is met."""
        addresses = Address.objects.filter(range=self.range, kind=Kind.HYPERVISOR, host__isnull=False)
        rows = dict(addresses.exclude(host__address=F("ip")).values_list("ip", "pk"))
        if not rows:
            return
        own = own_addresses(self.range)
        answers = meet_all((ip, self.port) for ip in rows if int(ipaddress.ip_address(ip)) in own)
        self._store({ip: answer for ip, answer in answers.items() if answer.kind != Kind.OTHER})
        fall([rows[ip] for ip, answer in answers.items() if answer.reason in PASSING], self.changes)

    def _store(self, answers: dict[str, Answer]) -> None:
        before = {
            ip: (pk, Answer(Kind(kind), reason, host_id))
            for ip, pk, kind, reason, host_id in Address.objects.filter(ip__in=answers).values_list(
                "ip", "pk", "kind", "reason", "host"
            )
        }
        same = [before[ip][0] for ip, answer in answers.items() if ip in before and before[ip][1] == answer]
        news = {ip: answer for ip, answer in answers.items() if ip not in before or before[ip][1] != answer}
        with transaction.atomic():
            rows_with(same).update(last_seen=self.now, silent_crawls=0)
            upsert(row_of(self.range.pk, ipaddress.ip_address(ip), news[ip], self.now) for ip in news)
        self.changes.appeared += len(news.keys() - before.keys())
        self.changes.changed += sum(ip in before and before[ip][1].kind != news[ip].kind for ip in news)


def _hosts_in(range_: Range) -> list[Host]:
    """Return the hosts to probe; those that missed their last probe come last, so that they delay nobody."""
    own = own_addresses(range_)
    hosts = Host.objects.exclude(trust__in=GIVEN_UP).order_by("missed_probes")
    version = range_.network.version
    return [
        host
        for host, ip in ((host, ipaddress.ip_address(host.address)) for host in hosts)
        if ip.version == version and int(ip) in own
    ]


def _probe_alone(host: Host) -> Answer | None:
    """Probe a host; a defect of ours that one host brings to light leaves no other host unwatched."""
    try:
        return _probe(host)
    except (DatabaseError, OSError):
        # These are about us, not about the host: they end the crawl.
        raise
    except Exception:
        logger.exception("The probe of host %s failed", host.pk)
        return None


def _probe(host: Host) -> Answer | None:
    """Return what answers at the host's address now; None is a silence that may pass."""
    outcome = services.probe(host)
    if outcome.answered:
        return Answer(Kind.HYPERVISOR, "", host.pk)
    if outcome.met is not None:
        return answer_of_meeting(outcome.met)
    if outcome.stranger is not None and outcome.stranger.reason not in PASSING:
        return answer_of_stranger(outcome.stranger)
    return None
