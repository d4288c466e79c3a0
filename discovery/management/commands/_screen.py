"""What `manage.py crawl` shows: a bar on a terminal, plain lines elsewhere, nothing with --json."""

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import IO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from discovery.models import Crawl

LINE_SECONDS = 5.0
COLUMNS = ("hypervisors", "newcomers", "vanished", "foreign", "others", "seconds", "packets")
# Wide enough for a table on one line each, where there is no terminal to measure.
PLAIN_WIDTH = 120


class Screen:
    """Shows crawls one after another, then a table of them."""

    def __init__(self, out: IO[str], *, silent: bool) -> None:
        self._silent = silent
        self._console = Console(
            file=out, quiet=silent, width=None if out.isatty() else PLAIN_WIDTH, markup=False
        )
        self._bar = self._make_bar() if self._console.is_terminal and not silent else None
        self._task: TaskID | None = None
        self._said = 0.0

    def _make_bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )

    def showing(self) -> AbstractContextManager[object]:
        """While it is open, the bar is drawn."""
        return self._bar or nullcontext()

    def begin(self, crawl: Crawl) -> None:
        if self._bar:
            self._task = self._bar.add_task(str(crawl), total=crawl.total or None, rate="")
        else:
            self._console.print(f"{crawl}: {crawl.total} addresses" if crawl.total else f"{crawl}")
        self._said = time.monotonic()

    def progress(self, crawl: Crawl) -> None:
        """Called from the thread that stores."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=crawl.done, total=crawl.total or None, rate=_rate(crawl))
        elif time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            self._console.print(f"{crawl}: {crawl.done} of {crawl.total}, {_rate(crawl)}")

    def say(self, text: str) -> None:
        self._console.print(text)

    def table(self, crawls: Iterable[Crawl]) -> None:
        shown = Table(box=box.SIMPLE_HEAD if self._bar else None, pad_edge=False)
        for title in ("crawl", "state"):
            shown.add_column(title, no_wrap=True)
        for title in COLUMNS:
            shown.add_column(title, justify="right", no_wrap=True)
        for crawl in crawls:
            shown.add_row(str(crawl), str(crawl.state), *map(str, _numbers(crawl)))
        self._console.print(shown)


def seconds_of(crawl: Crawl) -> float:
    if crawl.started_at is None or crawl.finished_at is None:
        return 0.0
    return (crawl.finished_at - crawl.started_at).total_seconds()


def _numbers(crawl: Crawl) -> list[object]:
    counts, changes = crawl.counts, crawl.changes
    return [
        counts["hypervisors"],
        changes["appeared"],
        changes["vanished"],
        counts["foreign"],
        counts["others"],
        f"{seconds_of(crawl):.1f}",
        crawl.packets_sent,
    ]


def _rate(crawl: Crawl) -> str:
    if crawl.started_at is None or not crawl.done:
        return ""
    elapsed = time.time() - crawl.started_at.timestamp()
    return f"{crawl.done / elapsed:.0f} addresses/s" if elapsed > 0 else ""
