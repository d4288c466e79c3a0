"""Carrying a crawl: its chunks are claimed, scanned and stored, until none is left.

While nmap scans one chunk, the answers of the chunk before are read and stored by a second thread. Several
carriers may work on one crawl, also on other machines. Whatever ends a crawl early, what it stored stays.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from hosts.live import CRAWLS, publish

from .. import scanner
from ..choices import ChunkState, CrawlState, Phase
from ..errors import CrawlEnded, ScanFailed
from ..models import Chunk, Crawl
from ..networks import AddressSet, parse_network
from .crawls import beat, begin, cancel, claim_chunk, fail, finish
from .lease import RateLease
from .probing import Probing
from .records import Changes
from .settling import Settlement
from .summaries import counts
from .targets import targets
from .threads import database_threads

logger = logging.getLogger(__name__)

Progress = Callable[[Crawl], None]
Scanned = tuple[Chunk, AddressSet, scanner.Output]
BEAT_SECONDS = 1.0
PUBLISH_SECONDS = 0.5


def carry(crawl: Crawl, *, on_progress: Progress | None = None, stop: threading.Event | None = None) -> Crawl:
    """Work on `crawl` until it ends, or until nothing of it is left to do here. Returns it as it is then.

    What goes wrong ends the crawl as `failed`, with the reason in `problem`; only a defect of ours is raised.
    `stop` ends it as failed; KeyboardInterrupt and SystemExit as `cancelled`, and are raised again.
    """
    if begin(crawl):
        carrier = Carrier(crawl, on_progress, stop or threading.Event())
        with _ending(crawl, carrier.stop), carrier.heart:
            carrier.work()
            finish(crawl)
    try:
        crawl.refresh_from_db()
    except Crawl.DoesNotExist:
        # Its range was deleted, and the crawl with it.
        crawl.state = CrawlState.CANCELLED
    if on_progress:
        on_progress(crawl)
    return crawl


@contextmanager
def _ending(crawl: Crawl, stop: threading.Event) -> Iterator[None]:
    """Write down why a crawl ended."""
    try:
        yield
    except (CrawlEnded, Crawl.DoesNotExist):
        if stop.is_set():
            fail(
                crawl,
                "worker_stopped",
                _("The worker that carried it was stopped. What it had found is kept."),
            )
    except ScanFailed as error:
        fail(crawl, error.problem, str(error))
    except DatabaseError as error:
        logger.exception("Crawl %s failed in the database", crawl.pk)
        fail(crawl, "database_unavailable", _("The database refused: %(error)s") % {"error": error})
    except (KeyboardInterrupt, SystemExit):
        cancel(crawl)
        raise
    except Exception:
        fail(crawl, "internal_error", _("Something went wrong on the server. It was logged."))
        raise


class Heart(threading.Thread):
    """Says every second that the crawl is carried, and hears when it was ended by others."""

    def __init__(self, crawl: Crawl, lease: RateLease) -> None:
        super().__init__(name=f"crawl-{crawl.pk}", daemon=True)
        self.ended = threading.Event()
        self._crawl = crawl
        self._lease = lease
        self._quiet = threading.Event()

    def __enter__(self) -> "Heart":
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._quiet.set()
        self.join()

    def run(self) -> None:
        try:
            while not self._quiet.wait(BEAT_SECONDS):
                self._lease.renew()
                self._beat()
        finally:
            connection.close()

    def _beat(self) -> None:
        try:
            if not beat(self._crawl):
                self.ended.set()
        except DatabaseError as error:
            # Whoever stores something meets it too, and ends the crawl; a lock that passes does no harm.
            logger.warning("Crawl %s could not say that it is carried: %s", self._crawl.pk, error)


class Pipeline:
    """Two chunks are under way at most: nmap scans one, and the one before is stored by a second thread.

    The chunk before is handed over once nmap runs: storing it would slow the start of nmap.
    """

    def __init__(self, storer: ThreadPoolExecutor, store: Callable[..., None]) -> None:
        self._storer = storer
        self._store = store
        self._scanned: Scanned | None = None
        self._storing: Future[None] | None = None

    def take(self, scanned: Scanned) -> None:
        """Keep a chunk until the next nmap runs. Raises what went wrong with the one before it."""
        # nmap did not run for a chunk of which nothing was left to ask.
        self.hand_over()
        self.wait()
        self._scanned = scanned

    def hand_over(self) -> None:
        if self._scanned:
            self._storing = self._storer.submit(self._store, *self._scanned)
            self._scanned = None

    def wait(self) -> None:
        if self._storing:
            self._storing.result()


class Carrier:
    def __init__(self, crawl: Crawl, on_progress: Progress | None, stop: threading.Event) -> None:
        self.crawl = crawl
        self.stop = stop
        self.lease = RateLease(crawl.range_id)
        self.heart = Heart(crawl, self.lease)
        self._on_progress = on_progress
        self._published = 0.0

    def stopped(self) -> bool:
        """Should the work end now? Raises ScanFailed when the rate is not guarded any more."""
        self.lease.check()
        return self.heart.ended.is_set() or self.stop.is_set()

    def work(self) -> None:
        if self.crawl.phase == Phase.PROBE:
            self._probe()
        else:
            self._scan()

    def _probe(self) -> None:
        chunk = claim_chunk(self.crawl)
        if chunk is None:
            return
        probing = Probing(self.crawl)
        Crawl.objects.filter(pk=self.crawl.pk).update(total=len(probing.hosts))
        chunk.addresses = len(probing.hosts)
        probing.probe_hosts(self.stopped)
        probing.look_elsewhere()
        self._done(chunk, probing.changes, 0)

    def _scan(self) -> None:
        with database_threads(1, "store") as storer:
            pipeline = Pipeline(storer, self._store)
            try:
                while scanned := self._scan_next(pipeline.hand_over):
                    pipeline.take(scanned)
            except (KeyboardInterrupt, SystemExit):
                # What is being stored ends at the next place where it looks.
                self.heart.ended.set()
                raise
            finally:
                # What was scanned is stored, whatever ended the crawl.
                pipeline.hand_over()
            pipeline.wait()

    def _scan_next(self, began: Callable[[], object]) -> Scanned | None:
        """Scan the next chunk, in its turn; None when none is left. `began` is called when nmap runs."""
        capped = self.crawl.max_rate is not None
        with self.lease.held(self.stopped) if capped else nullcontext():
            if self.stopped():
                raise CrawlEnded
            chunk = claim_chunk(self.crawl)
            if chunk is None:
                return None
            asked = targets(self.crawl.range, self.crawl.phase, parse_network(chunk.network))
            output = scanner.run(
                asked.networks(),
                port=self.crawl.port,
                max_rate=self.crawl.max_rate,
                stopped=self.stopped,
                began=began,
            )
            return chunk, asked, output

    def _store(self, chunk: Chunk, asked: AddressSet, output: scanner.Output) -> None:
        sweep = output.read()
        settlement = Settlement(self.crawl, asked)
        with transaction.atomic():
            settlement.store_quiet(sweep)
        settlement.store_open(sweep, self.stopped)
        self._done(chunk, settlement.changes, sweep.packets_sent)

    def _done(self, chunk: Chunk, changes: Changes, packets: int) -> None:
        with transaction.atomic():
            # Carriers of one crawl add to the same numbers.
            crawl = Crawl.objects.select_for_update().select_related("range").get(pk=self.crawl.pk)
            Chunk.objects.filter(pk=chunk.pk).update(state=ChunkState.DONE)
            Crawl.objects.filter(pk=crawl.pk).update(
                done=F("done") + chunk.addresses,
                packets_sent=F("packets_sent") + packets,
                changes={name: crawl.changes[name] + number for name, number in vars(changes).items()},
                counts=counts(crawl.range),
            )
            self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._published >= PUBLISH_SECONDS:
            self._published = now
            publish("crawl.changed", self.crawl.pk, CRAWLS)
            if self._on_progress:
                on_progress = self._on_progress
                transaction.on_commit(lambda: on_progress(Crawl.objects.get(pk=self.crawl.pk)))
