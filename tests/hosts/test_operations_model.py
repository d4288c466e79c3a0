"""Whatever is lost, repeated, cancelled or forgotten on the way: one verdict, and one run at most.

The server is real, down to TLS; the daemon is played. Steps come in any order, carriers die in the middle.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hosts import services
from hosts.choices import OPEN_STATES, OperationState
from hosts.errors import NotPossible, ProblemAnswer
from hosts.models import Host, Operation
from hosts.services.operations import carrying, holding
from hosts.trust import ClientIdentity

from .factories import told_domain
from .journals import Journal, asked_for, due_now, fresh, moves_of, played, too_late

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server", "dialable")]

S = OperationState
RANK: Final = {S.ACCEPTED: 0, S.SENT: 1, S.RUNNING: 2} | {state: 3 for state in S if state not in OPEN_STATES}
VERBS: Final = ("reboot", "start")


class World:
    """A server and a daemon, with an operation that can be observed (`start`) or cannot (`reboot`)."""

    def __init__(self, host: Host, journal: Journal, actor: User, verb: str) -> None:
        self.journal, self.host, self.actor = journal, host, actor
        journal.lose()
        journal.ends, journal.faults, journal.ran = "received", [], []
        Operation.objects.all().delete()
        Host.objects.update(journal_id=journal.journal_id)
        host.refresh_from_db()
        self.operation = asked_for(host, actor, verb=verb)
        self.row = told_domain(uuid=str(self.operation.target_uuid), state="shutoff", id=None)
        journal.domains = {self.row["uuid"]: self.row}
        self.told: list[dict[str, Any]] = []
        self.lost = False

    def carry(self) -> None:
        services.carry(due_now(self.operation).pk)

    def lose_the_request(self) -> None:
        # A call is tried twice, when its connection is cut.
        self.journal.faults = ["drop_request", "drop_request"]
        self.carry()

    def lose_the_answer(self) -> None:
        self.journal.faults = ["drop_answer", "drop_answer"]
        self.carry()

    def die_before_sending(self) -> None:
        holding.take(due_now(self.operation).pk)

    def die_before_settling(self) -> None:
        if (held := holding.take(due_now(self.operation).pk)) is not None:
            try:
                carrying._exchange(holding.agent_for(held.operation), held, 5)
            except ProblemAnswer:
                return

    def begin(self) -> None:
        if self._state() == "received":
            self.journal.ran.append(str(self.operation.pk))
            self._tell("started")

    def finish(self) -> None:
        if self._state() == "started":
            if self.operation.verb == "start":
                self.row["state"] = "running"
            self._tell("done")

    def report(self) -> None:
        """The watcher passes on all that was told up to now, old news too."""
        for document in self.told:
            services.settle_report(self.host.pk, document)

    def cancel(self) -> None:
        try:
            services.cancel(fresh(self.operation), actor=self.actor)
        except NotPossible:
            return

    def lose_the_journal(self) -> None:
        self.journal.lose()
        self.lost = True

    def pass_the_deadline(self) -> None:
        too_late(self.operation)

    def sweep(self) -> None:
        services.sweep()

    def _state(self) -> str | None:
        found = self.journal.operations.get(str(self.operation.pk))
        return found["state"] if found else None

    def _tell(self, state: str) -> None:
        self.told.append(dict(self.journal.settle(self.operation.pk, state)))

    def heal(self) -> None:
        """Nothing goes wrong any more: now it must come to its end."""
        for step in [self.begin, self.finish, self.carry] * 3 + [self.pass_the_deadline, self.carry] * 2:
            step()
        services.sweep()
        # Old news, after the verdict.
        self.report()

    def check(self) -> None:
        """What must be true at any time."""
        ran = self.journal.ran
        assert len(ran) == len(set(ran)), "it ran twice"
        ranks = [RANK[S(state)] for state in moves_of(self.operation)]
        assert ranks == sorted(set(ranks)), "it moved backwards, or had two verdicts"
        state = fresh(self.operation).state
        if state == S.SUCCEEDED:
            assert ran
        if state in {S.EXPIRED, S.CANCELLED}:
            assert not ran
        if state == S.UNKNOWN:
            assert self.lost


Step = Callable[[World], None]
STEPS: Final[list[Step]] = [
    *(World.carry, World.carry, World.lose_the_request, World.lose_the_answer),
    *(World.die_before_sending, World.die_before_settling),
    *(World.begin, World.finish, World.report, World.cancel),
    *(World.lose_the_journal, World.pass_the_deadline, World.sweep),
]
ORDERS = st.lists(st.sampled_from(STEPS), min_size=5, max_size=12)


def test_one_verdict_and_one_run(tmp_path: Path, client_identity: ClientIdentity, ada: User) -> None:
    journal = Journal()
    with played(tmp_path, client_identity, journal) as host:

        @settings(
            max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
        )
        @given(st.sampled_from(VERBS), ORDERS)
        def play(verb: str, order: list[Step]) -> None:
            world = World(host, journal, ada, verb)
            for step in order:
                step(world)
                journal.faults = []
                world.check()
            world.heal()
            world.check()
            assert not Operation.objects.open().exists()

        play()
