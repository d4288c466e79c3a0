"""Trying an operation: the guest is made ready, something breaks, and evidence judges the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.lab.machine import wait_for
from tests.lab.server import Json

from .evidence import OFF, ON
from .site import OPEN, Site

NEEDS: Final = {"start": OFF, "reset": ON, "reboot": ON, "save": ON, "shutdown": ON}
# Nobody can tell whether these were done, once libvirt or the daemon died while they were being done.
UNTELLABLE: Final = frozenset({"reset", "reboot"})
# These steps a shutdown reaches only when the guest is off.
AT_THE_END: Final = ("recorded", "settled")
VERDICT_SECONDS: Final = 100
MIRRORED_SECONDS: Final = 45


@dataclass
class Trial:
    """One operation on the subject. `unknown` is allowed where the design's table says so."""

    site: Site
    verb: str
    may_be_unknown: bool = False
    may_not_be_done: bool = False
    _before: int = field(default=0, init=False)
    _boots: int = field(default=0, init=False)
    _known: int = field(default=0, init=False)

    def prepare(self) -> None:
        """Bring the guest to the state that the verb needs, and the server to know it."""
        subject = self.site.subject
        subject.be(NEEDS[self.verb])
        self.site.wait_until_shown(subject)
        self._before, self._boots = subject.count(self.verb), subject.boots()
        self._known = self._operations()

    def _operations(self) -> int:
        row = self.site.row(self.site.subject)
        return int(self.site.server.ask("GET", f"operations/?domain={row['id']}&page_size=1")["count"])

    def run(self, breaking: Callable[[], None], step: str, repair: Callable[[], None]) -> Json:
        """Hold the operation at a step, break something there, see that others go on, repair; the verdict."""
        self.prepare()
        site = self.site
        with site.asked(site.subject, self.verb) as asked:
            with site.held(step) as hold:
                if self.verb == "shutdown" and step in AT_THE_END:
                    self._power_off()
                hold.wait(asked)
                breaking()
            site.others_go_on()
            repair()
            accepted = asked.result(timeout=90)
        return self.judge(accepted)

    def _power_off(self) -> None:
        """The guest does as it was told."""
        subject = self.site.subject
        wait_for(lambda: subject.count(self.verb) > self._before, "the guest's power button is pressed")
        subject.power_off()

    def judge(self, accepted: Json, *, deadline: float = VERDICT_SECONDS) -> Json:
        """Wait for the verdict, and hold it against what was really done."""
        site = self.site
        if self.verb == "shutdown" and site.subject.state() != OFF:
            site.subject.power_off()
        operation = site.verdict(accepted["id"], deadline=deadline)
        self._is_true(operation)
        self._is_the_only_one(operation)
        site.wait_until_shown(site.subject, deadline=MIRRORED_SECONDS)
        assert site.server.ask("GET", f"operations/{operation['id']}/")["state"] == operation["state"]
        if self.verb == "reboot":
            site.subject.be(OFF)  # libvirt would take its next power-off for the end of this reboot
        return operation

    def _is_true(self, operation: Json) -> None:
        subject, state = self.site.subject, operation["state"]
        done, times = state == "succeeded", subject.count(self.verb) - self._before
        told = (state, operation["problem"], times, subject.state())
        if self.verb == "save":
            assert (subject.state(), subject.is_saved()) == ((OFF, True) if done else (ON, False)), told
        elif self.verb == "shutdown":
            assert subject.state() == OFF, told
            assert times <= 1, told
        else:
            allowed = {1} if done else {0, 1} if state == "unknown" else {0}
            assert times in allowed, told
        if self.verb == "start":
            assert subject.state() == (ON if done else OFF), told
        if self.verb == "reset" and times:
            subject.wait_for_boot(self._boots)
            assert subject.boots() == self._boots + 1, told
        assert done or self.may_not_be_done or (state == "unknown" and self.may_be_unknown), told

    def _is_the_only_one(self, operation: Json) -> None:
        """One row for however often it was asked, and one verdict, after which nothing moved."""
        assert self._operations() == self._known + 1
        states = [event["state"] for event in operation["events"]]
        verdicts = [state for state in states if state not in OPEN]
        assert verdicts == [operation["state"]] == states[-1:], states
