"""The site on which faults are tried: a server, a hypervisor that suffers, and one that must not notice."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tests.lab.hypervisor import Guest
from tests.lab.laboratory import Lab
from tests.lab.machine import wait_for
from tests.lab.server import Json, Refused, Server

from .evidence import OFF, ON, PAUSED, Subject
from .victims import PARTS, answers, wait_for_part

SERVER_STEPS: Final = ("accepted", "taken", "sent", "settled")
DAEMON_STEPS: Final = ("received", "started", "called", "recorded")
OPEN: Final = ("accepted", "sent", "running")
HEALTHY_SECONDS: Final = 45
LAST_LINES: Final = 20
# What is promised of everybody else while something is broken.
OTHERS_SECONDS: Final = 5.0
PAGE_SECONDS: Final = 2.0
_SHOWN: Final = {"running": ON, "shutoff": OFF, "paused": PAUSED}
_LOG_IN: Final = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.conf import settings
user = User.objects.get(username="admin")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print(f"{settings.SESSION_COOKIE_NAME}={session.session_key}")
"""


class Site:
    """`subject` is the guest that operations are tried on; it and a bystander are added to the first host."""

    def __init__(self, lab: Lab, server: Server) -> None:
        self.lab = lab
        self.server = server
        self.hypervisor, self.healthy = lab.hypervisors[:2]
        self.subject = Subject(self.hypervisor, Guest("subject", traced=True))
        self.bystander = Subject(self.hypervisor, Guest("bystander", traced=True))
        self.other = Subject(self.healthy, self.healthy.guests[0])
        self.slowest_other = self.slowest_page = 0.0
        self._cookie = ""

    def __enter__(self) -> Site:
        for subject in (self.subject, self.bystander):
            self.hypervisor.add_guest(subject.guest)
        shell = self.server.manage("shell", "--no-imports", "-c", _LOG_IN).split()
        self._cookie = shell[-1]
        self.heal()
        return self

    def __exit__(self, *_exc: object) -> None:
        for subject in (self.subject, self.bystander):
            subject.be(OFF)
            self.hypervisor.virsh("undefine", subject.name)

    def heal(self) -> None:
        """Wait until everything is well and nothing is open. TimeoutError if it does not get so."""
        for steps in (self.server.steps, self.hypervisor.steps):
            for left in steps.iterdir():
                left.unlink()
        for name in PARTS:
            wait_for_part(self.server, name)
        wait_for(lambda: answers(self.server, "/readyz"), "the server is ready", deadline=HEALTHY_SECONDS)
        for name in (self.hypervisor.name, self.healthy.name):
            wait_for(partial(self._is_well, name), f"{name} is well", deadline=HEALTHY_SECONDS)
        self.wait_until_shown(self.subject)
        self.wait_until_shown(self.other)
        assert self.open_operations() == []

    def repair(self) -> str:
        """Start what is down, after a scenario that failed halfway; return what the server said last."""
        said = "".join((self.server.home / "serve.out").read_text().splitlines(keepends=True)[-LAST_LINES:])
        if not self.server.runs:
            self.server.stop()
            self.server.serve()
        if not self.hypervisor.runs("virshmanagerd"):
            self.hypervisor.start_daemon()
        if not self.hypervisor.runs("libvirtd"):
            self.hypervisor.restart_libvirtd()
        self.subject.be(OFF)
        return said

    def _is_well(self, name: str) -> bool:
        host = self.server.host(name)
        return (host["status"], host["problem"], host["libvirt"]["alive"]) == ("online", "", True)

    def wait_until_shown(self, subject: Subject, *, deadline: float = HEALTHY_SECONDS) -> None:
        """Wait until the server shows the guest as it is."""

        def shown() -> bool:
            row = self.row(subject)
            is_so = (_SHOWN.get(row["state"]), row["has_managed_save"], row["stale"])
            return is_so == (subject.state(), subject.is_saved(), False)

        wait_for(shown, f"{subject.name} is shown as it is", deadline=deadline)

    def row(self, subject: Subject) -> Json:
        """The domain as the API has it."""
        host = self.server.host(subject.hypervisor.name)["id"]
        rows = self.server.everything(f"domains/?host={host}")
        found = [row for row in rows if row["name"] == subject.name and row["missing_since"] is None]
        if not found:
            raise TimeoutError(f"{subject.name} is not listed")
        row: Json = found[0]
        return row

    def open_operations(self) -> list[Json]:
        """Operations without a verdict."""
        return self.server.everything("operations/?" + "&".join(f"state={state}" for state in OPEN))

    @contextmanager
    def held(self, step: str) -> Iterator[Hold]:
        """Hold the next operation that comes to a step, of the server's or of the daemon's."""
        folder = self.server.steps if step in SERVER_STEPS else self.hypervisor.steps
        hold = Hold(folder, step)
        try:
            yield hold
        finally:
            hold.release()

    @contextmanager
    def asked(self, subject: Subject, verb: str) -> Iterator[Future[Json]]:
        """Ask for an operation on another thread; who asks does not give up, and asks with one key."""
        domain, key = self.row(subject)["id"], str(uuid.uuid4())
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(self.ask, domain, verb, key)

    def ask(self, domain: int, verb: str, key: str, *, deadline: float = 60) -> Json:
        """Ask until the server has answered, whatever happens to it meanwhile."""
        ends_at = time.monotonic() + deadline
        while True:
            try:
                operation: Json = self.server.ask(
                    "POST", f"domains/{domain}/{verb}/", timeout=15, Idempotency_Key=key
                )
            except (OSError, http.client.HTTPException):
                pass
            except Refused as refusal:
                if refusal.status < http.client.INTERNAL_SERVER_ERROR:
                    raise
            else:
                return operation
            if time.monotonic() > ends_at:
                raise TimeoutError(f"nobody accepted {verb} within {deadline:g} s")
            time.sleep(0.1)

    def verdict(self, operation_id: str, *, deadline: float) -> Json:
        """Wait for the end of an operation, and return it."""
        seen: Json = {}

        def ended() -> bool:
            try:
                seen.update(self.server.ask("GET", f"operations/{operation_id}/"))
            except (OSError, http.client.HTTPException):
                return False
            return seen["state"] not in OPEN

        wait_for(ended, f"a verdict on {operation_id}", deadline=deadline)
        return seen

    def others_go_on(self, subject: Subject | None = None) -> None:
        """Another guest is paused or resumed in time, and the pages answer from what is stored."""
        wait_for_part(self.server, "web")
        subject = subject or self.other
        row = self.row(subject)
        verb = "resume" if row["state"] == "paused" else "suspend"
        begun = time.monotonic()
        operation = self.server.ask("POST", f"domains/{row['id']}/{verb}/", Prefer=f"wait={OTHERS_SECONDS:g}")
        took = time.monotonic() - begun
        self.slowest_other = max(self.slowest_other, took)
        assert operation["state"] == "succeeded", (took, operation)
        assert took < OTHERS_SECONDS
        assert subject.state() == (ON if verb == "resume" else PAUSED)
        self.look_at_pages()

    def look_at_pages(self) -> str:
        """Every page answers in time; return the one of the subject."""
        text = ""
        for path in ("/domains/", "/operations/", f"/domains/{self.row(self.subject)['id']}/"):
            begun = time.monotonic()
            status, body = self.server.request("GET", path, "", {"Cookie": self._cookie}, timeout=20)
            took = time.monotonic() - begun
            self.slowest_page = max(self.slowest_page, took)
            text = body.decode()
            assert (status, took < PAGE_SECONDS) == (http.client.OK, True), (path, status, took)
        assert self.subject.name in text
        return text


class Hold:
    """One step at which one operation waits."""

    def __init__(self, folder: Path, step: str) -> None:
        self.step = step
        self._wanted, self._held = folder / step, folder / f"{step}.held"
        self._wanted.touch()

    def wait(self, asked: Future[Json], *, deadline: float = 30) -> None:
        """Wait until the operation that is asked for is there. Raises what was wrong with asking."""

        def there() -> bool:
            if asked.done():
                asked.result()
            return self._held.exists()

        wait_for(there, f"an operation is {self.step}", deadline=deadline)

    def release(self) -> None:
        """Let it go on, and hold no other."""
        self._wanted.unlink(missing_ok=True)
        self._held.unlink(missing_ok=True)
