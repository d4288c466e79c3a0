"""`python -m benchmarks.tools.prober CIDR PORT ROUNDS`: probe a range again and again in one process.

Prints JSON: the seconds of each round, and the resident memory in bytes after it.
"""

import json
import os
import sys
import time

import django

from . import watch


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "virshmanager.settings")
    django.setup()
    cidr, port, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps([_probe(cidr, port) for _ in range(rounds)]))


def _probe(cidr: str, port: int) -> dict[str, float]:
    # Models exist only after the setup.
    from discovery.models import Range
    from discovery.services import carry, request_crawl

    begun = time.monotonic()
    crawl = carry(request_crawl(Range.objects.get(cidr=cidr), "probe", port=port, here=True))
    seconds = time.monotonic() - begun
    if crawl.state != "succeeded":
        raise RuntimeError(f"the probe ended as {crawl.state}: {crawl.problem}")
    return {"seconds": seconds, "resident": watch.memory(os.getpid())["VmRSS"]}


if __name__ == "__main__":
    main()
