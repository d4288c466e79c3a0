"""All that is tried, as data: its name, and what is to be done on a site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Final

from tests.lab.machine import wait_for
from tests.lab.server import Json

from .breakages import (
    DIRECTIONS,
    cut,
    hung,
    hung_guest,
    keep_for,
    small_disk,
)
from .clock import daemon_clock, server_clock
from .evidence import ON
from .site import DAEMON_STEPS, SERVER_STEPS, Site
from .trial import UNTELLABLE, Trial
from .victims import KILLS, REPAIRS, kill_libvirtd

VERBS: Final = ("start", "reset", "save", "reboot", "shutdown")
BELOW: Final = ("daemon", "daemon master", "libvirtd")
# At these steps libvirt may be at work, and a reset cannot be told from none.
IN_THE_CALL: Final = ("sent", "started", "called")
CUT_SECONDS: Final = (1, 5, 20, 60)
STALE_NOTE: Final = "does not tell its domains now"


@dataclass(frozen=True)
class Scenario:
    """`play` returns the operation as it ended, or raises what was wrong."""

    name: str
    play: Callable[[Site], Json]


def kill(victim: str, step: str, verb: str) -> Scenario:
    """A process is killed while an operation is at a step."""

    def play(site: Site) -> Json:
        trial = Trial(site, verb, may_be_unknown=is_untellable(victim, step, verb))
        killing = partial(KILLS[victim], site.server, site.hypervisor)
        return trial.run(killing, step, partial(REPAIRS[victim], site.server, site.hypervisor))

    return Scenario(f"kill {victim}, {step}, {verb}", play)


def is_untellable(victim: str, step: str, verb: str) -> bool:
    """Whether the design's table has `unknown` for it."""
    return victim in BELOW and step in IN_THE_CALL and verb in UNTELLABLE


def partition(direction: str, seconds: int, verb: str) -> Scenario:
    """Server and daemon do not reach each other in a direction when an operation is asked for."""

    def play(site: Site) -> Json:
        # One that the daemon never got ends as expired, if its deadline comes before the network.
        trial = Trial(site, verb, may_not_be_done=seconds >= 60)
        trial.prepare()
        with cut(site.hypervisor, direction), site.asked(site.subject, verb) as asked:
            keep_for(seconds, site.others_go_on)
            if seconds >= 60:
                assert STALE_NOTE in site.look_at_pages()
            accepted = asked.result(timeout=30)
        return trial.judge(accepted)

    return Scenario(f"cut {direction} for {seconds} s, {verb}", play)


def partition_at(step: str, direction: str, verb: str) -> Scenario:
    """The network goes while an operation is at a step, for 5 seconds."""

    def play(site: Site) -> Json:
        trial = Trial(site, verb)
        trial.prepare()
        with site.asked(site.subject, verb) as asked:
            with site.held(step) as hold:
                hold.wait(asked)
                network = cut(site.hypervisor, direction)
                network.__enter__()
            try:
                keep_for(5, site.others_go_on)
            finally:
                network.__exit__(None, None, None)
            accepted = asked.result(timeout=30)
        return trial.judge(accepted)

    return Scenario(f"cut {direction} for 5 s, {step}, {verb}", play)


def step_daemons_clock(hours: int, step: str, verb: str) -> Scenario:
    """The daemon's clock is set while it has an operation, and its worker dies on top."""

    def play(site: Site) -> Json:
        with daemon_clock(site.hypervisor) as clock:
            site.heal()

            def breaking() -> None:
                clock.step(hours)
                KILLS["daemon"](site.server, site.hypervisor)

            trial = Trial(site, verb, may_be_unknown=is_untellable("daemon", step, verb))
            return trial.run(breaking, step, lambda: None)

    return Scenario(f"daemon's clock {hours:+d} h, {step}, {verb}", play)


def step_servers_clock(hours: int, verb: str) -> Scenario:
    """The server's clock is set while a host is cut off, so that the operation has to be sent again."""

    def play(site: Site) -> Json:
        with server_clock(site.server) as clock:
            site.heal()
            # An hour later its deadline has passed, and it may never have been sent.
            trial = Trial(site, verb, may_not_be_done=hours > 0)
            trial.prepare()
            with cut(site.hypervisor, "both"), site.asked(site.subject, verb) as asked:
                accepted = asked.result(timeout=30)
                wait_for(lambda: attempts(site, accepted) > 0, "it was tried once")
                clock.step(hours)
                keep_for(3, site.others_go_on)
            return trial.judge(accepted)

    return Scenario(f"server's clock {hours:+d} h, {verb}", play)


def attempts(site: Site, operation: Json) -> int:
    """How often it was sent."""
    return int(site.server.ask("GET", f"operations/{operation['id']}/")["attempts"])


def full_disk(verb: str, *, freed: bool) -> Scenario:
    """The disk of the daemon's journal is full: nothing is begun. It is freed, or the deadline comes."""

    def play(site: Site) -> Json:
        with small_disk(site.hypervisor) as disk:
            site.heal()
            trial = Trial(site, verb, may_not_be_done=not freed)
            trial.prepare()
            before = site.subject.count(verb)
            disk.fill()
            with site.asked(site.subject, verb) as asked:
                accepted = asked.result(timeout=30)
                wait_for(lambda: attempts(site, accepted) > 2, "it is refused and sent again")
                site.others_go_on()
                assert site.subject.count(verb) == before
                if freed:
                    disk.free()
            operation = trial.judge(accepted)
            assert (operation["state"] == "succeeded") is freed, operation
            disk.free()
            return operation

    return Scenario(f"full disk, {'freed' if freed else 'until the deadline'}, {verb}", play)


def hung_libvirtd(verb: str) -> Scenario:
    """libvirtd does not answer; no other host waits for it."""

    def play(site: Site) -> Json:
        trial = Trial(site, verb)
        trial.prepare()
        with hung(site.hypervisor, "libvirtd"), site.asked(site.subject, verb) as asked:
            accepted = asked.result(timeout=30)
            keep_for(8, site.others_go_on)
        return trial.judge(accepted)

    return Scenario(f"libvirtd hangs, {verb}", play)


def hung_qemu(verb: str) -> Scenario:
    """One QEMU does not answer; neither another host nor another guest of the same host waits for it."""

    def play(site: Site) -> Json:
        site.bystander.be(ON)
        trial = Trial(site, verb)
        trial.prepare()
        site.wait_until_shown(site.bystander)
        with hung_guest(site.subject), site.asked(site.subject, verb) as asked:
            accepted = asked.result(timeout=30)
            for _ in range(2):
                site.others_go_on()
                site.others_go_on(site.bystander)
        return trial.judge(accepted)

    return Scenario(f"a QEMU hangs, {verb}", play)


def libvirtd_restarts_in_a_save() -> Scenario:
    """libvirtd dies while it saves a guest, and comes back."""

    def play(site: Site) -> Json:
        trial = Trial(site, "save")
        trial.prepare()
        with site.asked(site.subject, "save") as asked:
            with hung_guest(site.subject):
                accepted = asked.result(timeout=30)
                status = f"run/libvirt/qemu/{site.subject.name}.xml"
                wait_for(lambda: "async='save'" in site.hypervisor.read(status), "libvirt saves")
                kill_libvirtd(site.hypervisor)
                site.others_go_on()
            site.hypervisor.restart_libvirtd()
        return trial.judge(accepted)

    return Scenario("libvirtd restarts in a save", play)


def kills() -> Iterator[Scenario]:
    """Every victim at every step; those below the journal with every verb at every step of the daemon's."""
    verbs = cycle(VERBS)
    for step in (*SERVER_STEPS, *DAEMON_STEPS):
        for victim in KILLS:
            if victim in BELOW and step in DAEMON_STEPS:
                yield from (kill(victim, step, verb) for verb in VERBS)
            else:
                yield kill(victim, step, next(verbs))


def others() -> Iterator[Scenario]:
    """What else breaks than processes."""
    verbs = cycle(("start", "reset", "save"))
    for direction in DIRECTIONS:
        yield from (partition(direction, seconds, next(verbs)) for seconds in CUT_SECONDS)
        yield from (partition_at(step, direction, next(verbs)) for step in ("sent", "received", "called"))
    for hours in (1, -1):
        yield from (step_daemons_clock(hours, step, next(verbs)) for step in ("received", "started"))
        yield step_servers_clock(hours, next(verbs))
    yield full_disk("start", freed=True)
    yield full_disk("start", freed=False)
    yield from (hung_libvirtd(verb) for verb in ("start", "reset", "save"))
    yield from (hung_qemu(verb) for verb in ("reset", "save"))
    yield libvirtd_restarts_in_a_save()


def all_scenarios() -> list[Scenario]:
    """In their order: the supervisor gives up a part that dies five times within a minute."""
    return [*kills(), *others()]


SAMPLE: Final = (
    kill("web", "accepted", "start"),
    kill("worker", "taken", "reset"),
    kill("watcher", "settled", "start"),
    kill("redis", "sent", "reset"),
    kill("daemon", "started", "reboot"),
    kill("daemon", "called", "start"),
    kill("libvirtd", "started", "start"),
    partition("out", 5, "reset"),
    hung_qemu("save"),
    full_disk("start", freed=True),
)
