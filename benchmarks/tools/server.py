"""A server's state of its own: database, keys and Redis in a private folder, gone afterwards."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from tests.networks import Namespace

from . import watch

PYTHON = sys.executable
REDIS_DEADLINE = 10
DAEMON_PORT = 16510
STRANGE = ("VIRSHMANAGER_", "DATABASE_URL", "REDIS_URL", "DJANGO_")


@dataclass(frozen=True)
class Server:
    """`manage.py` with this state. `inside` is the network namespace that a command runs in."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
        return {
            **kept,
            "VIRSHMANAGER_HOME": str(self.home),
            "REDIS_URL": f"unix://{self.home}/redis.sock",
            "VIRSHMANAGER_LOG_LEVEL": "warning",
        }

    def manage(self, *arguments: str, inside: Namespace | None = None) -> watch.Run:
        """Run a command of manage.py to its end. Raises ProgramFailed."""
        command = [PYTHON, str(watch.PROJECT / "manage.py"), *arguments]
        return watch.run(inside.command(*command) if inside else command, environment=self.environment)

    def crawl(self, *arguments: str, inside: Namespace | None = None) -> tuple[watch.Run, dict[str, Any]]:
        """Crawl one range; return the run, and the crawl as the REST API shows it."""
        run = self.manage("crawl", "--json", *arguments, inside=inside)
        (crawl,) = json.loads(run.output)
        return run, crawl

    def join_file(self, network: str, *, uses: int) -> Path:
        """Make a join key for `uses` hosts of `network`, and return the file that they get."""
        terms = ("--label", "benchmark", "--cidr", network, "--max-uses", str(uses), "--approve", "auto")
        path = self.home / "join.json"
        path.touch(mode=0o600)
        path.write_text(self.manage("join_key", "create", *terms).output)
        return path

    def number(self, query: str) -> int:
        """Ask the database for one whole number."""
        with closing(sqlite3.connect(self._database)) as database:
            (number,) = database.execute(query).fetchone()
        return int(number)

    def make_range(
        self,
        cidr: str,
        *,
        max_rate: int | None,
        port: int = DAEMON_PORT,
        schedule: Mapping[str, int] | None = None,
    ) -> None:
        """Make a range anew, also for after `forget`. `max_rate`: packets per second; None: no limit.

        `schedule` has seconds by phase; other phases keep their period.
        """
        self.forget()
        make = (
            "from discovery.models import Range; from discovery.services import create_range\n"
            f"Range.objects.filter(cidr={cidr!r}).delete()\n"
            f"create_range(cidr={cidr!r}, max_rate={max_rate!r}, port={port}, schedule={schedule!r})"
        )
        self.manage("shell", "--no-imports", "-c", make)
        self.remember()

    def remember(self) -> None:
        """Make the state of now what `forget` goes back to."""
        with closing(sqlite3.connect(self._database)) as database:
            # What is still in the write-ahead log belongs to it.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(self._database, self._remembered)

    def forget(self) -> None:
        """Go back to the state that was remembered."""
        for file in self.home.glob("db.sqlite3*"):
            file.unlink()
        shutil.copy(self._remembered, self._database)

    @property
    def _database(self) -> Path:
        return self.home / "db.sqlite3"

    @property
    def _remembered(self) -> Path:
        return self.home / "remembered.sqlite3"


@contextmanager
def server() -> Iterator[Server]:
    """A migrated, empty server, with a Redis that runs."""
    with tempfile.TemporaryDirectory(prefix="vm-bench-") as folder:
        fresh = Server(Path(folder))
        with _redis(fresh.home):
            fresh.manage("migrate", "--verbosity", "0")
            fresh.remember()
            yield fresh


@contextmanager
def _redis(home: Path) -> Iterator[None]:
    path = str(home / "redis.sock")
    forgetful = ("--save", "", "--appendonly", "no", "--dir", str(home))
    command = ["redis-server", "--port", "0", "--unixsocket", path, *forgetful]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(path)
            yield
        finally:
            process.terminate()


def _wait_for(path: str) -> None:
    # Its own retries wait for it to start.
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), REDIS_DEADLINE * 20)
    with redis.Redis(unix_socket_path=path, retry=retry, retry_on_error=[ConnectionError]) as client:
        client.ping()
