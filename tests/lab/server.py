"""A VirshManager in a network namespace, with a state folder of its own: its commands, and all of it."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.networks import Namespace, socket_in
from tests.networks.namespace import unique_name
from tests.networks.sweep import scratch_root

from .machine import wait_for

Json = dict[str, Any]
PROJECT = Path(__file__).parents[2]
PORT = 8000  # each namespace has a loopback of its own
PHASES = ("full", "new", "recheck", "probe")
PASSWORD = "lab-of-hypervisors"
_ENDED = {"succeeded", "failed", "cancelled"}


class Refused(Exception):
    """The API said no: `status` and its `problem`."""

    def __init__(self, status: int, problem: Any) -> None:
        super().__init__(f"{status} {problem}")
        self.status = status
        self.problem = problem


class Server:
    """All it starts runs as `user`, in `namespace`. A context manager: its state goes when it ends.

    `manage` and `crawl_command` are what a person types. After `serve`, all that follows uses the REST API.
    """

    def __init__(self, namespace: Namespace, *, user: str = "root") -> None:
        self.namespace = namespace
        self.user = user
        self.home = scratch_root() / unique_name("home")
        self.home.mkdir(mode=0o700)
        shutil.chown(self.home, user)
        self.steps = self.home / "steps"
        self.steps.mkdir()
        self._serving: subprocess.Popen[bytes] | None = None
        self._token = ""

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and remove its state. May be called twice."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def stop(self) -> None:
        """Stop what `serve` started."""
        if self._serving:
            self._serving.terminate()
            self._serving.wait(timeout=30)
            self._serving = None

    def manage(self, *arguments: str, timeout: float = 60) -> str:
        """The output of a `manage.py` command. CalledProcessError when it fails."""
        command = [*self._as_user(), sys.executable, "manage.py", *arguments]
        return self.namespace.run(*command, timeout=timeout, **self._where()).stdout

    def join_key(self, *options: str) -> str:
        """The text of a new join.json."""
        return self.manage("join_key", "create", *options)

    def crawl_command(self, *arguments: str) -> list[Json]:
        """What `manage.py crawl --json` prints."""
        crawls: list[Json] = json.loads(self.manage("crawl", "--json", *arguments))
        return crawls

    def serve(self, **variables: str) -> None:
        """Start the whole server, with more environment variables, and wait until it is ready."""
        said = self.home / "serve.out"
        environment = self._environment() | {"VIRSHMANAGER_ADMIN_PASSWORD": PASSWORD} | variables
        command = [*self._as_user(), sys.executable, "-m", "virshmanager.serve"]
        with said.open("wb") as output:
            self._serving = self.namespace.start(
                *command, cwd=PROJECT, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        serving = self._serving

        def settled() -> bool:
            return "Ctrl-C stops it" in said.read_text() or serving.poll() is not None

        wait_for(settled, "the server is ready", deadline=60)
        if serving.poll() is not None:
            raise RuntimeError(said.read_text())
        self._token = self.manage("api_token", "admin", "--scope", "administer").strip()

    @property
    def headers(self) -> Json:
        """What a program of the administrator's sends with each request."""
        return {"Authorization": f"Token {self._token}", "Content-Type": "application/json"}

    @property
    def pid(self) -> int:
        """The process of `serve`, whose children are the parts of the server."""
        if self._serving is None:
            raise ProcessLookupError("the server does not run")
        return self._serving.pid

    @property
    def runs(self) -> bool:
        """Whether what `serve` started is alive."""
        return self._serving is not None and self._serving.poll() is None

    def ask(
        self, method: str, path: str, body: Json | None = None, *, timeout: float = 30, **headers: str
    ) -> Any:
        """Call the REST API at `path` (below /api/) and read its JSON. Raises Refused."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        status, text = self.request(
            method, f"/api/{path}", json.dumps(body or {}), self.headers | more, timeout=timeout
        )
        told = json.loads(text) if text else None
        if status >= http.client.BAD_REQUEST:
            raise Refused(status, told)
        return told

    def request(
        self, method: str, path: str, body: str, headers: Json, *, timeout: float = 30
    ) -> tuple[int, bytes]:
        """Status and body of an answer. OSError or HTTPException when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        connection.sock = socket_in(self.namespace)
        connection.sock.settimeout(timeout)
        with closing(connection):
            connection.sock.connect((connection.host, connection.port))
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def everything(self, path: str) -> list[Json]:
        """All rows of a list of the API."""
        page = self.ask("GET", f"{path}{'&' if '?' in path else '?'}page_size=500")
        rows: list[Json] = page["results"]
        return rows

    def add_range(self, cidr: str, **fields: Any) -> int:
        """Make a range on which nothing runs by itself; return its id."""
        schedule = dict.fromkeys(PHASES)
        return int(self.ask("POST", "ranges/", {"cidr": cidr, "schedule": schedule, **fields})["id"])

    def range_id(self, cidr: str) -> int:
        """The id of the range with this block."""
        [found] = [row["id"] for row in self.everything("ranges/") if row["cidr"] == cidr]
        return int(found)

    def begin_crawl(self, cidr: str, phase: str = "full") -> int:
        """Ask the workers for a crawl; return its id."""
        return int(self.ask("POST", f"ranges/{self.range_id(cidr)}/crawl/", {"phase": phase})["id"])

    def end_crawl(self, crawl: int, *, deadline: float = 30) -> Json:
        """Wait until a crawl has ended, and return it. AssertionError when it did not end well."""
        seen: Json = {}

        def ended() -> bool:
            seen.update(self.ask("GET", f"crawls/{crawl}/"))
            return seen["state"] in _ENDED

        wait_for(ended, f"crawl {crawl} ends", deadline=deadline)
        assert seen["state"] == "succeeded", seen
        return seen

    def crawl(self, cidr: str, phase: str = "full", *, deadline: float = 30) -> Json:
        """Let the workers crawl, and return the crawl as it ended."""
        return self.end_crawl(self.begin_crawl(cidr, phase), deadline=deadline)

    def host(self, hostname: str) -> Json:
        """The one host of this name."""
        [found] = [row for row in self.everything("hosts/") if row["hostname"] == hostname]
        return found

    def address(self, ip: str) -> Json | None:
        """What is known of an address; None when nothing ever answered there."""
        found = {row["ip"]: row for row in self.everything("addresses/")}
        return found.get(ip)

    def forget_hosts_at(self, addresses: Collection[str]) -> None:
        """Give up the hosts whose address is one of these: else each probe would wait for them."""
        for host in self.everything("hosts/"):
            if host["address"] in addresses:
                if host["trust"] == "owned":
                    self.ask("POST", f"hosts/{host['id']}/retire/")
                self.ask("DELETE", f"hosts/{host['id']}/")

    def domains(self, hostname: str) -> dict[str, str]:
        """State by name of the domains that a host listed last."""
        rows = self.everything(f"domains/?host={self.host(hostname)['id']}")
        return {row["name"]: row["state"] for row in rows if row["missing_since"] is None}

    def age(self, hostname: str, seconds: int) -> None:
        """Let a host's last sign of life be as old as this, instead of waiting."""
        self._age("last_seen", hostname, seconds)

    def age_stream(self, hostname: str, seconds: int) -> None:
        """Let the last word of a host's events be as old as this, instead of waiting."""
        self._age("watched_at", hostname, seconds)

    def _age(self, column: str, hostname: str, seconds: int) -> None:
        with closing(sqlite3.connect(self.home / "db.sqlite3", timeout=10)) as database, database:
            then = "strftime('%Y-%m-%d %H:%M:%f', 'now', ?)"
            database.execute(
                f"UPDATE hosts_host SET {column} = {then} WHERE hostname = ?",  # noqa: S608 -- ours
                (f"-{seconds} seconds", hostname),
            )

    def _as_user(self) -> list[str]:
        if self.user == "root":
            return []
        account = pwd.getpwnam(self.user)
        user = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
        # A clone in root's home is read all the same.
        return ["setpriv", *user, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]

    def _environment(self) -> dict[str, str]:
        steps = {"VIRSHMANAGER_HALT_IN": str(self.steps)}
        return {"PATH": os.environ["PATH"], "VIRSHMANAGER_HOME": str(self.home)} | steps

    def _where(self) -> dict[str, Any]:
        return {"cwd": PROJECT, "env": self._environment()}
