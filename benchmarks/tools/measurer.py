"""`python -m benchmarks.tools.measurer HOSTS DOMAINS ROUNDS`: a fleet that measures.

It works on the state of VIRSHMANAGER_HOME, and needs no hosts: what a watcher hands over is made here, on a
clock that jumps. Prints its figures as JSON.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")
django.setup()

from django.db import connection  # noqa: E402 -- Django must be set up first
from django.utils import timezone  # noqa: E402
from django_redis import get_redis_connection  # noqa: E402

from domains.choices import Kind  # noqa: E402
from domains.models import Domain, History  # noqa: E402
from domains.rings import COARSE, FINE, Ring  # noqa: E402
from domains.services import (  # noqa: E402
    Window,
    measured,
    record_stats,
    roll_up,
    sparklines,
)
from hosts.choices import Trust  # noqa: E402
from hosts.models import Host  # noqa: E402
from virshmanager import exposition  # noqa: E402

PAGE = 100
TIMES = 20
HISTORY_BYTES = (
    "SELECT SUM(pgsize) FROM dbstat WHERE name LIKE 'domains_history%' OR name LIKE 'one_row_per_block%'"
)

now = time.time() // 3600 * 3600


def fleet(hosts: int, domains: int) -> dict[Host, list[str]]:
    """Make the hosts and their domains, and return the UUIDs of these."""
    moment = timezone.now()
    made = Host.objects.bulk_create(
        Host(
            uuid=uuid.uuid4(),
            hostname=f"host-{number}",
            address="192.0.2.1",
            trust=Trust.OWNED,
            last_seen=moment,
        )
        for number in range(hosts)
    )
    Domain.objects.bulk_create(
        Domain(host=host, uuid=uuid.uuid4(), name=f"domain-{host.pk}-{number}", state="running", vcpus=2)
        for host in made
        for number in range(domains)
    )
    uuids: dict[Host, list[str]] = {host: [] for host in made}
    by_key = {host.pk: host for host in made}
    for host_id, told in Domain.objects.values_list("host", "uuid"):
        uuids[by_key[host_id]].append(str(told))
    return uuids


def message(uuids: Iterable[str]) -> dict[str, Any]:
    counted = int(now)
    block = dict.fromkeys(("rd_bytes", "wr_bytes", "rd_reqs", "wr_reqs"), 1000 * counted)
    net = dict.fromkeys(("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"), 100 * counted)
    domain = {
        "cpu_time_ns": counted * 10**9,
        "vcpus": 2,
        "memory": 2**30,
        "memory_used": 2**29,
        "block": block,
        "net": net,
    }
    host = {
        "cpu_time_ns": counted * 10**9,
        "cpus": 8,
        "memory": 2**35,
        "memory_free": 2**34,
        "load": [1.0] * 3,
    }
    return {"at": now, "host": host, "domains": [{"uuid": text, **domain} for text in uuids]}


def measure(uuids: dict[Host, list[str]], rounds: int, period: int) -> float:
    """Take `rounds` messages of each host, and return the processor seconds of one."""
    global now  # noqa: PLW0603 -- it is the clock
    spent = 0.0
    for _ in range(rounds):
        now += period
        told = [(host, message(texts)) for host, texts in uuids.items()]
        start = time.process_time()
        for host, each in told:
            record_stats(host, each)
        spent += time.process_time() - start
    return spent / (rounds * len(uuids))


def ring_bytes(ring: Ring, pk: int) -> int:
    key = f"virshmanager:metrics:{ring.name}:domain:{pk}"
    return int(get_redis_connection().memory_usage(key) or 0)


def seconds(do: Callable[[], object]) -> list[float]:
    spent = []
    for _ in range(TIMES):
        start = time.perf_counter()
        do()
        spent.append(time.perf_counter() - start)
    return spent


def main() -> None:
    global now  # noqa: PLW0603 -- it is the clock
    hosts, domains, rounds = map(int, sys.argv[1:])
    uuids = fleet(hosts, domains)
    time.time = lambda: now
    figures: dict[str, Any] = {"message": measure(uuids, rounds, COARSE.period)}
    now += 30
    start = time.perf_counter()
    roll_up()
    figures["roll_up"] = time.perf_counter() - start
    times = History.objects.values("start").distinct().count()
    with connection.cursor() as cursor:
        cursor.execute(HISTORY_BYTES)
        figures["history_bytes"] = cursor.fetchone()[0] / times / (hosts * domains)
    first = next(iter(uuids))
    watched = {first: uuids[first]}
    pk = Domain.objects.filter(host=first).values_list("pk", flat=True)[0]
    measure(watched, COARSE.points + 1, COARSE.period)
    figures["looked_at"] = measure(watched, FINE.points + 10, FINE.period)
    figures["ring_bytes"] = {ring.name: ring_bytes(ring, pk) for ring in (COARSE, FINE)}
    for days, name in ((1 / 24, "hour"), (1, "day")):
        window = Window(now - days * 86400, now)
        figures[name] = seconds(partial(measured, Kind.DOMAIN, pk, first.pk, window))
    page = list(Domain.objects.values_list("pk", flat=True)[:PAGE])
    figures["sparklines"] = seconds(partial(sparklines, page))
    measure(uuids, 1, COARSE.period)
    start = time.perf_counter()
    told = exposition.read_fleet()
    figures["prometheus_read"] = time.perf_counter() - start
    figures["prometheus_bytes"] = sum(map(len, exposition.write(told)))
    figures["prometheus"] = time.perf_counter() - start
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
