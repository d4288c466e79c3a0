"""A daemon that is killed at any step: each accepted operation has one verdict, and nothing ran twice.

The model: a server that sends again what it has no verdict of, the real operations with their journal on the
disk, and a libvirt below the driver that counts effects. A crash is an exception that no code of ours
handles, after which nothing of that life may write or act any more.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import pytest
from doors import until
from hypervisors import answers, uuid_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from operating import OPEN, order

from virshmanagerd import clock, faults
from virshmanagerd.driver import Driver
from virshmanagerd.journal import JournalUnwritable
from virshmanagerd.operations import Document, Operations, runner, steps
from virshmanagerd.operations.orders import ARGS
from virshmanagerd.web import Problem

STEPS = ("received", "started", "called", "recorded")
CRASHES = (*STEPS, "in the call", "after the effect")
# What can be asked for again without harm: it sets a state, or observation told that it was not done.
ONCE = {"reboot", "reset"}
VERBS = ("start", "shutdown", "reboot", "reset", "destroy", "suspend", "resume", "save", "restore")
SHUTOFF, RUNNING, PAUSED = libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED


class Killed(BaseException):
    """The process is no more."""


def refusal(code: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("refused")
    error.err = (code, 0, "refused", 2, None, None, None, 0, 0)
    return error


@dataclass
class Machine:
    """A hypervisor with one domain, as libvirtd keeps it through every life of the daemon."""

    state: int = SHUTOFF
    number: int = 0
    next_number: int = 1
    saved: bool = False
    effects: Counter[str] = field(default_factory=Counter)  # by the operation that brought them about
    deaf: bool = False  # the guest does not react to its power button, yet
    pressed: bool = False

    def on(self) -> None:
        self.state, self.number = RUNNING, self.next_number
        self.next_number += 1
        self.saved = False

    def off(self) -> None:
        self.state, self.number, self.pressed = SHUTOFF, 0, False

    def press(self) -> None:
        """The power button."""
        self.pressed = True
        self.hear(deaf=self.deaf)

    def hear(self, *, deaf: bool) -> None:
        self.deaf = deaf
        if self.pressed and not deaf and self.state == RUNNING:
            self.off()


class Life:
    """One process of the daemon: it may be killed, and then does nothing more."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.machine = machine
        self.crash_at = ""
        self.dead = threading.Event()
        self.told: list[Document] = []
        self.driver = Driver("fake:///")
        FakeConnection.life = self
        self.driver.start()
        until(lambda: answers(self.driver))
        self.operations = Operations(folder, self.driver, self.told.append)

    def at(self, step: str) -> None:
        """Die at the step that was chosen, and at every step after."""
        if self.dead.is_set() or step == self.crash_at:
            self.dead.set()
            raise Killed(step)

    def at_work_on(self, verb: str) -> str:
        """The operation whose verb libvirt was just told: a domain has one writer at a time."""
        verbs = (verb, "restore") if verb == "start" else (verb,)
        begun = [one for one in self.told if one["verb"] in verbs and one["state"] == "started"]
        return begun[-1]["id"]

    def end(self) -> None:
        self.dead.set()
        self.operations.stop()
        self.driver.stop()


class FakeDomain:
    """What the driver asks of a virDomain."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._machine = life.machine
        self._number = life.machine.number

    def _change(self, verb: str, *states: int) -> None:
        self._life.at("in the call")
        if self._machine.state not in states:
            raise refusal(libvirt.VIR_ERR_INTERNAL_ERROR)
        self._machine.effects[self._life.at_work_on(verb)] += 1

    def _changed(self) -> None:
        self._life.at("after the effect")

    def create(self) -> None:
        self._change("start", SHUTOFF)
        self._machine.on()
        self._changed()

    def shutdownFlags(self, _flags: int) -> None:  # noqa: N802 - libvirt's name
        self._change("shutdown", RUNNING)
        self._machine.press()
        self._changed()

    def reboot(self, _flags: int) -> None:
        self._change("reboot", RUNNING)
        self._changed()

    def reset(self, _flags: int) -> None:
        self._change("reset", RUNNING, PAUSED)
        self._changed()

    def destroy(self) -> None:
        self._change("destroy", RUNNING, PAUSED)
        self._machine.off()
        self._changed()

    def suspend(self) -> None:
        self._change("suspend", RUNNING)
        self._machine.state = PAUSED
        self._changed()

    def resume(self) -> None:
        self._change("resume", PAUSED)
        self._machine.state = RUNNING
        self._changed()

    def managedSave(self, _flags: int) -> None:  # noqa: N802
        self._change("save", RUNNING, PAUSED)
        self._machine.off()
        self._machine.saved = True
        self._changed()

    def ID(self) -> int:  # noqa: N802
        return self._number or -1

    def UUIDString(self) -> str:  # noqa: N802
        return uuid_of("web")

    def name(self) -> str:
        return "web"

    def state(self) -> list[int]:
        return [self._machine.state, 0]

    def info(self) -> list[int]:
        return [self._machine.state, 1024, 1024, 1, 0]

    def isPersistent(self) -> int:  # noqa: N802
        return 1

    def autostart(self) -> int:
        return 0

    def hasManagedSaveImage(self) -> int:  # noqa: N802
        return int(self._machine.saved)

    def jobInfo(self) -> list[int]:  # noqa: N802
        return [libvirt.VIR_DOMAIN_JOB_NONE]

    def jobStats(self) -> dict[str, int]:  # noqa: N802
        raise refusal(libvirt.VIR_ERR_NO_SUPPORT)

    def XMLDesc(self, _flags: int) -> str:  # noqa: N802
        return "<domain><name>web</name></domain>"


class FakeConnection:
    """What the driver asks of a virConnect."""

    life: Life

    def __init__(self, _uri: str) -> None:
        self._life = FakeConnection.life

    def lookupByUUIDString(self, _uuid: str) -> FakeDomain:  # noqa: N802
        return FakeDomain(self._life)

    def getAllDomainStats(self, *_: int) -> list[Any]:  # noqa: N802
        return []

    def listAllDomains(self, *_: int) -> list[Any]:  # noqa: N802
        return []

    def isAlive(self) -> int:  # noqa: N802
        return 1

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: 1


@dataclass
class Sent:
    """An operation as the server has it."""

    verb: str
    verdict: dict[str, Any] | None = None


class Lives(RuleBasedStateMachine):
    """What may happen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(libvirt, "open", FakeConnection)
        self.patch.setattr(faults, "at", self._at)
        for module, name in ((steps, "POLL_SECONDS"), (steps, "RETRY_SECONDS"), (runner, "RETRY_SECONDS")):
            self.patch.setattr(module, name, 0.01)
        self.folder = Path(tempfile.mkdtemp())
        self.machine = Machine()
        self.sent: dict[str, Sent] = {}
        self.life = Life(self.folder, self.machine)

    def _at(self, step: str) -> None:
        self.life.at(step)

    def teardown(self) -> None:
        try:
            self.settle()
            self.what_happened_is_told_truthfully()
        finally:
            self._close()

    def _close(self) -> None:
        self.life.end()
        self.patch.undo()
        shutil.rmtree(self.folder)

    @initialize(state=st.sampled_from((SHUTOFF, RUNNING, PAUSED)), saved=st.booleans())
    def begin(self, state: int, saved: bool) -> None:  # noqa: FBT001 - drawn by name
        if state != SHUTOFF:
            self.machine.on()
            self.machine.state = state
        self.machine.saved = saved and state == SHUTOFF

    @rule(verb=st.sampled_from(VERBS), wait=st.booleans())
    def send(self, verb: str, wait: bool) -> None:  # noqa: FBT001
        """Order something."""
        number = self._order(verb)
        if wait and not self.machine.deaf:
            until(lambda: self._has_ended(number))

    @rule(verb=st.sampled_from(VERBS), crash=st.sampled_from(CRASHES))
    def send_and_die(self, verb: str, crash: str) -> None:
        """Order something of a daemon that will be killed in the middle of it."""
        self.life.crash_at = crash
        number = self._order(verb)
        if not self.machine.deaf:
            until(lambda: self._has_ended(number))
        self._restart()

    @rule(deaf=st.booleans())
    def listen(self, deaf: bool) -> None:  # noqa: FBT001
        """The guest begins to react to its power button, or ceases to."""
        self.machine.hear(deaf=deaf)

    @rule()
    def somebody_else(self) -> None:
        """An administrator on the host switches the guest on, or off."""
        if self.machine.state == SHUTOFF:
            self.machine.on()
        else:
            self.machine.off()

    @rule(reboot=st.booleans())
    def restart(self, reboot: bool) -> None:  # noqa: FBT001
        """Another process; perhaps the host itself was restarted."""
        self._restart(reboot=reboot)

    @rule()
    def settle(self) -> None:
        """The server asks until it has all verdicts. What waits for the guest gets help."""
        if self.life.dead.is_set():
            self._restart()
        self.life.crash_at = ""
        self.machine.hear(deaf=False)
        for number, sent in self.sent.items():
            if sent.verdict is None:
                self._put(number)
                until(lambda: self._has_ended(number))  # noqa: B023 - called here
                sent.verdict = self._document(number)

    @invariant()
    def what_happened_is_told_truthfully(self) -> None:
        """One verdict for ever; once what can run once only; `unknown` where the table says so."""
        for number, sent in self.sent.items():
            if sent.verdict is None:
                continue
            found = self._document(number)
            if found is not None:
                assert (found["state"], found["problem"]) == (sent.verdict["state"], sent.verdict["problem"])
            assert sent.verdict["state"] != "unknown" or sent.verb in ONCE
            if sent.verb in ONCE:
                assert self.machine.effects[number] <= 1
                assert sent.verdict["state"] not in self._untrue(number)

    def _untrue(self, number: str) -> set[str]:
        """The verdicts that would be a lie about a verb that leaves no trace."""
        return {"failed", "expired", "cancelled"} if self.machine.effects[number] else {"done"}

    def _order(self, verb: str) -> str:
        number = str(uuid.uuid4())
        self.sent[number] = Sent(verb)
        self._put(number)
        return number

    def _restart(self, *, reboot: bool = False) -> None:
        self.life.end()
        if reboot:
            self.patch.setattr(clock, "BOOT_ID", str(uuid.uuid4()))
            self.machine.off()
            self.machine.next_number = 1
        self.life = Life(self.folder, self.machine)

    def _put(self, number: str) -> None:
        """Send, as often as it takes to be answered by a life; a dead one answers nobody."""
        verb = self.sent[number].verb
        # Killed before it pressed the button, a shutdown waits until its deadline: it is not pressed twice.
        body = order(verb, "web", deadline=0.2 if verb == "shutdown" else 20)
        try:
            self.life.operations.put(number, body, clock.now())
        except Killed:
            pass
        except JournalUnwritable:
            assert self.life.dead.is_set()

    def _document(self, number: str) -> dict[str, Any] | None:
        try:
            return dict(self.life.operations.get(number))
        except (Problem, JournalUnwritable, Killed):
            return None

    def _has_ended(self, number: str) -> bool:
        if self.life.dead.is_set():
            return True
        found = self._document(number)
        return found is not None and found["state"] not in OPEN


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


UNTOLD = ("started", "in the call", "after the effect", "called")


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("start", SHUTOFF),
        ("destroy", RUNNING),
        ("suspend", RUNNING),
        ("resume", PAUSED),
        ("save", RUNNING),
        ("reboot", RUNNING),
        ("reset", PAUSED),
    ],
)
def test_killed_once(verb: str, state: int, crash: str) -> None:
    """One effect, and the verdict that the table of observations promises."""
    lives = Lives()
    try:
        lives.begin(state=state, saved=False)
        lives.send_and_die(verb=verb, crash=crash)
        lives.settle()
        ((number, sent),) = lives.sent.items()
        assert sent.verdict
        untold = verb in ONCE and crash in UNTOLD
        assert sent.verdict["state"] == ("unknown" if untold else "done")
        before = untold and crash in {"started", "in the call"}
        assert lives.machine.effects == ({} if before else {number: 1})
    finally:
        lives.teardown()


def test_all_verbs_of_one_domain_are_in_the_model() -> None:
    """The others set absolute values, and are tried with a real libvirt."""
    assert set(ARGS) - set(VERBS) == {"autostart", "metadata", "define", "undefine"}
