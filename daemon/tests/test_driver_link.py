"""The connection to libvirt: absent, silent, lost, and back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import libvirt
import pytest
from hypervisors import SHORT, domain_xml, eventually, fails, fleet, running

from virshmanagerd.driver import Driver, Line, lines
from virshmanagerd.driver.calls import Calls
from virshmanagerd.driver.eventloop import LOOP
from virshmanagerd.driver.lines import Lines
from virshmanagerd.driver.link import Link
from virshmanagerd.driver.pool import Pool
from virshmanagerd.driver.session import Session
from virshmanagerd.errors import LibvirtDown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "libvirt-sock"


@pytest.fixture
def uri(path: Path) -> str:
    return f"qemu+unix:///system?socket={path}"


@pytest.fixture
def listener(path: Path) -> Iterator[socket.socket]:
    """A libvirtd that accepts (the kernel does) and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(50)
        yield listener


def test_before_its_start_it_is_down() -> None:
    with pytest.raises(LibvirtDown):
        Driver("test:///default").domains()


def test_an_absent_libvirt_is_a_state_not_a_failure(uri: str, path: Path) -> None:
    with running(Driver(uri, limits=SHORT), connected=False) as driver:
        eventually(lambda: str(path) in (driver.host()["libvirt"]["error"] or ""))
        facts = driver.host()
        assert facts["libvirt"]["alive"] is False
        assert facts["libvirt"]["uri"] == uri
        assert facts["memory"] is None
        with pytest.raises(LibvirtDown, match="libvirt-sock"):
            driver.domains()


def test_a_nonsense_uri_is_said() -> None:
    with running(Driver("nonsense:///", limits=SHORT), connected=False) as driver:
        eventually(lambda: driver.host()["libvirt"]["error"] != "not connected yet")


def test_a_libvirt_that_never_answers_delays_nobody(
    uri: str, listener: socket.socket, tmp_path: Path
) -> None:
    exhausted = threading.Event()
    silent = Driver(uri, limits=SHORT, on_exhausted=exhausted.set)
    with running(silent, connected=False), running(Driver(fleet(tmp_path, domain_xml("on")))) as other:
        eventually(lambda: "does not answer" in (silent.host()["libvirt"]["error"] or ""))
        assert other.host()["libvirt"]["alive"]
        # Attempts that hang for ever are capped like other lost calls.
        assert exhausted.wait(20)
        assert other.domains()["domains"]
    listener.close()


def test_attempts_go_on_until_libvirt_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, attempts = libvirt.open, []

    def flaky(uri: str) -> libvirt.virConnect:
        attempts.append(uri)
        return real("nonsense://" if len(attempts) < 4 else uri)

    monkeypatch.setattr(libvirt, "open", flaky)
    with running(Driver(fleet(tmp_path, domain_xml("on")), limits=SHORT)) as driver:
        assert driver.host()["libvirt"]["alive"]
    assert len(attempts) == 4


def test_a_dead_connection_is_replaced_under_a_new_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(Driver(fleet(tmp_path, domain_xml("on")), limits=SHORT)) as driver:
        epoch = driver.domains()["event_epoch"]
        with monkeypatch.context() as broken:
            broken.setattr(libvirt.virConnect, "isAlive", lambda _: 0)
            with pytest.raises(LibvirtDown):
                driver.domain("00000000-0000-0000-0000-000000000000")
        eventually(lambda: driver.host()["libvirt"]["alive"])
        assert driver.domains()["event_epoch"] != epoch


def test_a_connection_without_events_is_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, libvirt.virConnect, "domainEventRegisterAny", libvirt.VIR_ERR_NO_SUPPORT)
    driver = Driver(fleet(tmp_path, domain_xml("on")), limits=SHORT)
    with running(driver, connected=False):
        eventually(lambda: "failed" in (driver.host()["libvirt"]["error"] or ""))


def test_a_driver_stopped_while_it_connects_keeps_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, opening, retired = threading.Event(), threading.Event(), threading.Event()
    real_open, real_retire = libvirt.open, Session.retire

    def slow(uri: str) -> libvirt.virConnect:
        opening.set()
        gate.wait()
        return real_open(uri)

    def retire(session: Session) -> None:
        real_retire(session)
        retired.set()

    monkeypatch.setattr(libvirt, "open", slow)
    monkeypatch.setattr(Session, "retire", retire)
    driver = Driver(fleet(tmp_path, domain_xml("on")))
    driver.start()
    assert opening.wait(10)
    driver.stop()
    gate.set()
    assert retired.wait(10)
    with pytest.raises(LibvirtDown):
        driver.domains()


def test_a_stopped_driver_does_not_come_back(tmp_path: Path) -> None:
    driver = Driver(fleet(tmp_path, domain_xml("on")), limits=SHORT)
    with running(driver):
        pass
    with pytest.raises(LibvirtDown):
        driver.domains()


def test_pauses_between_attempts_grow_to_a_limit_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        pauses.append((low, high))
        return 0

    monkeypatch.setattr("virshmanagerd.driver.link.random.uniform", uniform)
    with running(Driver("nonsense://"), connected=False):
        eventually(lambda: len(pauses) >= 8)
    assert [high for _, high in pauses[:8]] == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert all(0 < low < high for low, high in pauses)


def test_a_change_that_takes_long_keeps_its_connection_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    LOOP.ensure_running()
    calls = Calls(Pool(4), SHORT, lambda: None)
    make = partial(Link, "test:///default", calls, SHORT)
    read = make()
    read.start()
    changing = partial(Lines("qemu:///system", make, read).session, Line.WRITE)
    first = changing()
    with first.at_work():
        assert changing() is first
        monkeypatch.setattr(lines, "ALONE_SECONDS", 0)
        second = changing()
        assert second is not first
        assert changing() is second
        assert first.is_alive()
    assert changing() is second
