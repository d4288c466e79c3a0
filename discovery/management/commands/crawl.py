"""`manage.py crawl`: look for hypervisors now, in this process."""

import json
import signal
import sys
from argparse import ArgumentParser
from types import FrameType
from typing import IO, Any, NoReturn, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from discovery import services
from discovery.choices import MAX_RATE, CrawlState, Phase
from discovery.errors import BadRange, CrawlRunning, DiscoveryError
from discovery.models import Crawl, Range
from discovery.networks import parse_range
from discovery.serializers import CrawlSerializer
from hosts import trust
from hosts.choices import MAX_PORT
from hosts.trust import SigningError

from ._screen import Screen

FAILED, WRONG_ARGUMENTS, INTERRUPTED = 1, 2, 130
NUMBERS = {str(number): str(phase) for number, phase in enumerate(Phase, start=1)}
PHASES = NUMBERS | {phase: phase for phase in NUMBERS.values()}


class Command(BaseCommand):
    help = (
        "Crawl networks now, in this process: by default every address of every enabled range. "
        "Exit status: 0 done, 1 failed, 2 wrong arguments, 130 interrupted (what was found is kept)."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        phases = ", ".join(f"{number} {phase}" for number, phase in NUMBERS.items())
        parser.add_argument("cidrs", nargs="*", metavar="CIDR", help="a range; made if it is new")
        parser.add_argument("--phase", default="full", metavar="PHASE", help=f"by number or name: {phases}")
        parser.add_argument("--json", action="store_true", help="print the crawls as one JSON document")
        parser.add_argument("--port", type=int, help="the port of the daemons, for this run")
        parser.add_argument("--max-rate", type=int, help="packets a second, for this run")

    def handle(self, **options: Any) -> None:
        phase = self._phase(options["phase"])
        rates = self._for_this_run(options["port"], options["max_rate"])
        ranges = self._ranges(options["cidrs"])
        # Rich writes lines in parts, and ends them itself.
        self.stdout.ending = ""
        screen = Screen(cast("IO[str]", self.stdout), silent=options["json"])
        runs = Runs(screen, phase, rates)
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            with trust.signer_at_hand(), screen.showing():
                for range_ in ranges:
                    runs.run(range_)
        except KeyboardInterrupt:
            runs.interrupted = True
        except DatabaseError as error:
            raise CommandError(f"The database refused: {error}. What was stored is kept.") from error
        except SigningError as error:
            raise CommandError(str(error)) from error
        finally:
            signal.signal(signal.SIGTERM, before)
        self._report(screen, runs.crawls(), as_json=options["json"])
        for problem in runs.problems:
            self.stderr.write(problem)
        if runs.interrupted or runs.problems:
            sys.exit(INTERRUPTED if runs.interrupted else FAILED)

    def _phase(self, word: str) -> str:
        if word not in PHASES:
            raise CommandError(
                f"No such phase: {word!r}. Choose of {', '.join(PHASES)}.", returncode=WRONG_ARGUMENTS
            )
        return PHASES[word]

    def _for_this_run(self, port: int | None, max_rate: int | None) -> dict[str, int]:
        limits = {"port": (port, MAX_PORT), "max_rate": (max_rate, MAX_RATE)}
        for name, (value, most) in limits.items():
            if value is not None and not 1 <= value <= most:
                option = name.replace("_", "-")
                raise CommandError(
                    f"--{option} must be from 1 to {most}, not {value}.", returncode=WRONG_ARGUMENTS
                )
        return {name: value for name, (value, _most) in limits.items() if value is not None}

    def _ranges(self, cidrs: list[str]) -> list[Range]:
        try:
            # All are checked before one is made.
            wanted = list(dict.fromkeys(str(parse_range(cidr)) for cidr in cidrs))
            ranges = [
                Range.objects.filter(cidr=cidr).first() or services.create_range(cidr=cidr) for cidr in wanted
            ]
        except BadRange as error:
            raise CommandError(str(error), returncode=WRONG_ARGUMENTS) from error
        except DatabaseError as error:
            raise CommandError(f"The database refused: {error}.") from error
        return ranges or list(Range.objects.enabled())

    def _report(self, screen: Screen, crawls: list[Crawl], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(
                json.dumps(CrawlSerializer(crawls, many=True).data, indent=2, default=str) + "\n"
            )
        elif crawls:
            screen.table(crawls)
        else:
            screen.say("There is no range to crawl. Name one: manage.py crawl 192.0.2.0/24")


class Runs:
    """The crawls of this command, one range after another."""

    def __init__(self, screen: Screen, phase: str, for_this_run: dict[str, int]) -> None:
        self.problems: list[str] = []
        self.interrupted = False
        self._screen = screen
        self._phase = phase
        self._for_this_run = for_this_run
        self._keys: list[int] = []

    def run(self, range_: Range) -> None:
        """Crawl one range to its end. What fails is noted, and the next range is crawled all the same."""
        try:
            crawl = self._request(range_)
        except DiscoveryError as error:
            self.problems.append(f"{range_.cidr}: {error}")
            return
        self._keys.append(crawl.pk)
        self._screen.begin(crawl)
        ended = services.carry(crawl, on_progress=self._screen.progress)
        if ended.state == CrawlState.CANCELLED:
            self.problems.append(f"{range_.cidr}: the crawl was cancelled. What it found is kept.")
        elif ended.state != CrawlState.SUCCEEDED:
            self.problems.append(f"{range_.cidr}: {ended.problem['detail']}")

    def _request(self, range_: Range) -> Crawl:
        try:
            return services.start_by_hand(range_, self._phase, here=True, **self._for_this_run)
        except CrawlRunning as running:
            # Its process may have been killed a moment ago: then it is not in our way.
            if running.crawl and not services.wait_if_lost(running.crawl):
                raise
            return services.start_by_hand(range_, self._phase, here=True, **self._for_this_run)

    def crawls(self) -> list[Crawl]:
        return list(Crawl.objects.filter(pk__in=self._keys).select_related("range").order_by("pk"))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
