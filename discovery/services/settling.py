"""From what nmap saw to what is known: addresses that appear, change, fall silent or vanish.

Only answers are evidence: an open port is asked who it is, a refused one is no hypervisor's any more. Silence
is counted, in full crawls alone, since a busy network loses packets: two in a row drop an address that is no
hypervisor's. A hypervisor's address becomes `other` once its host is offline, or proved itself elsewhere.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F
from django.utils import timezone

from hosts.choices import OFFLINE_AFTER

from ..choices import Kind, Phase
from ..errors import CrawlEnded
from ..models import Address, Crawl
from ..networks import AddressSet, ip_of, number_of, pack
from ..scanner import Sweep
from .meeting import PASSING, meet_all
from .records import Answer, Changes, fall, insert_others, row_of, rows_with, upsert

SILENT_CRAWLS_TO_DROP = 2
MET_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Known:
    pk: int
    kind: str
    silent_crawls: int
    # Its host proved itself at this very address, and is not offline.
    alive: bool


class Settlement:
    """Stores the answers of one chunk. `targets` are the addresses that were asked."""

    def __init__(self, crawl: Crawl, targets: AddressSet) -> None:
        self.crawl = crawl
        self.targets = targets
        self.now = timezone.now()
        self.changes = Changes()
        self.known = _known(crawl, targets, self.now)

    def store_quiet(self, sweep: Sweep) -> None:
        """Store all that needs no conversation: hosts without our port, and silence."""
        refused = {number for number in sweep.closed if number in self.targets}
        mute = {number for number in sweep.filtered if number in self.targets}
        self._store_newcomers((refused | mute) - self.known.keys())
        seen = [(number, self.known[number]) for number in refused | mute if number in self.known]
        fallen = [
            row.pk for number, row in seen if row.kind != Kind.OTHER and (number in refused or not row.alive)
        ]
        rows_with([row.pk for _number, row in seen]).update(last_seen=self.now, silent_crawls=0)
        fall(fallen, self.changes)
        if self.crawl.phase == Phase.FULL:
            heard = sweep.open | refused | mute
            self._store_silence([row for number, row in self.known.items() if number not in heard])

    def store_open(self, sweep: Sweep, stopped: Callable[[], bool]) -> None:
        """Ask who is behind each open port, and store the answers in small groups as they come."""
        numbers = sorted(number for number in sweep.open if number in self.targets)
        for start in range(0, len(numbers), MET_AT_ONCE):
            if stopped():
                raise CrawlEnded
            group = numbers[start : start + MET_AT_ONCE]
            ips = {str(ip_of(number, self.targets.version)): number for number in group}
            answers = meet_all((ip, self.crawl.port) for ip in ips)
            self._store_answers({ips[ip]: answer for ip, answer in answers.items()})

    def _store_newcomers(self, numbers: Collection[int]) -> None:
        version = self.targets.version
        insert_others(self.crawl.range_id, (ip_of(number, version) for number in sorted(numbers)), self.now)
        self.changes.appeared += len(numbers)

    def _store_answers(self, answers: dict[int, Answer]) -> None:
        rows = []
        for number, answer in answers.items():
            before = self.known.get(number)
            if before and before.kind == Kind.HYPERVISOR and before.alive and answer.reason in PASSING:
                continue
            rows.append(self._row(number, answer))
            self.changes.appeared += before is None
            self.changes.changed += before is not None and before.kind != answer.kind
        upsert(rows)

    def _store_silence(self, silent: Iterable[Known]) -> None:
        dropped: list[int] = []
        fallen: list[int] = []
        rest: list[int] = []
        for row in silent:
            if row.kind == Kind.HYPERVISOR:
                (rest if row.alive else fallen).append(row.pk)
            elif row.silent_crawls + 1 >= SILENT_CRAWLS_TO_DROP:
                dropped.append(row.pk)
            else:
                rest.append(row.pk)
        rows_with(rest + fallen).update(silent_crawls=F("silent_crawls") + 1)
        fall(fallen, self.changes)
        rows_with(dropped).delete()
        self.changes.vanished += len(dropped)

    def _row(self, number: int, answer: Answer) -> Address:
        return row_of(self.crawl.range_id, ip_of(number, self.targets.version), answer, self.now)


def _known(crawl: Crawl, targets: AddressSet, now: datetime) -> dict[int, Known]:
    if not targets.spans:
        return {}
    low, high = (
        pack(ip_of(number, targets.version)) for number in (targets.spans[0][0], targets.spans[-1][1])
    )
    rows = Address.objects.filter(range=crawl.range_id, packed__range=(low, high)).order_by()
    known = {}
    for pk, ip, packed, kind, silent, home, last_seen in rows.values_list(
        "pk", "ip", "packed", "kind", "silent_crawls", "host__address", "host__last_seen"
    ):
        number = number_of(packed)
        if number in targets:
            alive = home == ip and last_seen is not None and last_seen >= now - OFFLINE_AFTER
            known[number] = Known(pk, kind, silent, alive)
    return known
