"""Consoles of a real guest, through the daemon: from a client's WebSocket to the guest's shell and screen."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
import terminals
from authority import Authority
from doors import Host, World, enrol
from guests import Image
from hypervisors import eventually
from privatelibvirt import MARKS, Libvirtd
from terminals import Console
from websockets.exceptions import InvalidStatus

from virshmanagerd.driver import SerialConsole

pytestmark = [*MARKS, pytest.mark.timeout(180)]

UUID = "b0f3c1de-7d5c-4a36-9d0e-6c1f4d9be101"
OTHER = "b0f3c1de-7d5c-4a36-9d0e-6c1f4d9be102"
VERSION = b"RFB 003.008\n"
console = partial(terminals.console, uuid=UUID)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.make(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def hypervisor(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, image: Image, mount_points: None
) -> Iterator[Libvirtd]:
    """One with a guest that runs."""
    libvirtd = Libvirtd(tmp_path_factory.mktemp("libvirtd"), cache)
    try:
        libvirtd.start()
        eventually(libvirtd.socket.exists, 30)
        start(libvirtd, image.xml("guest", UUID))
        yield libvirtd
    finally:
        libvirtd.kill()


def start(libvirtd: Libvirtd, xml: str) -> None:
    file = libvirtd.home / "guest.xml"
    file.write_text(xml)
    libvirtd.virsh("create", str(file))


@pytest.fixture
def host(world: World, authority: Authority, hypervisor: Libvirtd) -> Iterator[Host]:
    """An owned daemon on that hypervisor."""
    host = world.host(authority, dataclasses.replace(world.config(), uri=hypervisor.uri))
    enrol(host, authority)
    host.daemon.driver.start()
    eventually(lambda: host.daemon.driver.host()["libvirt"]["alive"], 30)
    yield host
    eventually(lambda: not host.daemon.consoles._hubs)
    host.daemon.driver.stop()


def refusal(host: Host, authority: Authority, kind: str, uuid: str = UUID) -> tuple[int, str, str]:
    with pytest.raises(InvalidStatus) as refused, console(host, authority, kind, uuid=uuid):
        pass
    problem = json.loads(refused.value.response.body)
    return refused.value.response.status_code, problem["type"], problem["detail"]


def test_what_has_no_console(host: Host, authority: Authority, hypervisor: Libvirtd, image: Image) -> None:
    for kind in ("serial", "vnc"):
        assert refusal(host, authority, kind, OTHER)[:2] == (404, "no_such_domain")
    xml = image.xml("bare", OTHER, serial="null", graphics=None)
    (hypervisor.home / "bare.xml").write_text(xml)
    hypervisor.virsh("define", str(hypervisor.home / "bare.xml"))
    for kind in ("serial", "vnc"):
        assert refusal(host, authority, kind, OTHER)[:2] == (409, "wrong_state")
    hypervisor.virsh("start", "bare")
    status, problem, detail = refusal(host, authority, "serial", OTHER)
    assert (status, problem) == (409, "no_serial_device")
    assert "<console type='null'>" in detail
    status, problem, detail = refusal(host, authority, "vnc", OTHER)
    assert (status, problem) == (409, "no_vnc_device")
    assert "no display at all" in detail
    hypervisor.virsh("destroy", "bare")
    hypervisor.virsh("undefine", "bare")


def test_a_command_and_its_answer(host: Host, authority: Authority) -> None:
    with console(host, authority) as one:
        one.shell()
        one.type("echo $((6 * 7))\r")
        one.expect(b"\r\n42\r\n")
        assert one.told == [{"type": "ready", "mode": "write", "viewers": 1}]


def test_one_writes_and_others_look_on(host: Host, authority: Authority) -> None:
    with console(host, authority) as one:
        one.shell()
        one.type("echo $((6 * 8))\r")
        one.expect(b"\r\n48\r\n")
        with console(host, authority) as second:
            assert second.code() == 4409
        with console(host, authority, mode="view") as viewer:
            viewer.expect(b"\r\n48\r\n")  # what was written before
            viewer.type("echo $((6 * 9))\r")
            one.type("echo $((6 * 10))\r")
            viewer.expect(b"\r\n60\r\n")
            one.expect(b"\r\n60\r\n")
            assert b"54" not in viewer.text
            with console(host, authority, mode="take") as third:
                assert one.code() == 4410
                third.type("echo $((6 * 11))\r")
                third.expect(b"\r\n66\r\n")
                viewer.expect(b"\r\n66\r\n")
            assert viewer.told[0] == {"type": "ready", "mode": "view", "viewers": 2}


def test_a_console_that_another_program_has(host: Host, authority: Authority, hypervisor: Libvirtd) -> None:
    command = ["virsh", "--connect", hypervisor.uri, "console", UUID]
    inside, outside = os.openpty()
    os.set_blocking(outside, False)
    said = bytearray()

    def connected() -> bool:
        with contextlib.suppress(BlockingIOError):
            said.extend(os.read(outside, 1000))
        return b"Escape character" in said

    virsh = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside)
    try:
        eventually(connected)
        status, problem, detail = refusal(host, authority, "serial")
        assert (status, problem) == (409, "console_busy")
        assert "virsh console" in detail
        with console(host, authority, mode="take") as one:
            one.shell()
    finally:
        virsh.kill()
        virsh.wait()
        os.close(inside)
        os.close(outside)


def test_a_flood_and_a_client_that_reads_slowly(host: Host, authority: Authority) -> None:
    process = psutil.Process()
    with console(host, authority, ahead=1) as one:
        one.shell()
        one.type("yes 0123456789012345678901234567890123456789\r")
        (hub,) = host.daemon.consoles._hubs.values()
        grew = []
        for _ in range(4):
            before, goal = process.memory_info().rss, hub._written + 500_000
            while hub._written < goal:
                one.receive()
                threading.Event().wait(2)  # 16 KB a second, and the guest writes more
            grew.append(process.memory_info().rss - before)
        assert min(grew) < 250_000, grew  # what is kept grows each time
        one.type("\x03")
        one.shell()


def test_a_guest_that_does_not_read_holds_up_nobody_else(
    host: Host, authority: Authority, hypervisor: Libvirtd
) -> None:
    driver = host.daemon.driver
    with console(host, authority) as one:
        one.shell()
        (hub,) = host.daemon.consoles._hubs.values()
        hypervisor.virsh("suspend", "guest")
        try:
            for _ in range(12):
                one.send(b"x" * 65_536)
            eventually(lambda: hub._held)
            for _ in range(10):
                begin = time.monotonic()
                assert driver.domains()["domains"]
                assert time.monotonic() - begin < 1
        finally:
            hypervisor.virsh("resume", "guest")
    # What libvirtd has taken it still gives to the guest, before it lets go of the console.
    eventually(lambda: not host.daemon.consoles._hubs, 60)


def test_a_screen(host: Host, authority: Authority) -> None:
    with console(host, authority, "vnc") as one, console(host, authority, "vnc", "view") as viewer:
        for screen in (one, viewer):
            name = handshake(screen)
            assert b"guest" in name
            screen.send(b"\x03\x00" + bytes(4) + b"\x00\x10\x00\x10")
            screen.text.clear()
            while len(screen.text) < 16 + 16 * 16 * 4:
                screen.receive()
            assert screen.text[:2] == bytes(2)  # an update of the screen, in one part or more
        with console(host, authority, "vnc") as second:
            assert second.code() == 4409
        viewer.send(b"\x63")
        assert viewer.code() == 1002


def handshake(screen: Console) -> bytes:
    """Speak RFB 3.8 up to the name of the screen."""

    def take(count: int) -> bytes:
        while len(screen.text) < count:
            screen.receive()
        taken = bytes(screen.text[:count])
        del screen.text[:count]
        return taken

    assert take(12) == VERSION
    screen.send(VERSION)
    assert take(2) == b"\x01\x01"
    screen.send(b"\x01")
    assert take(4) == bytes(4)
    screen.send(b"\x01")
    head = take(24)
    return take(int.from_bytes(head[20:], "big"))


def test_all_ends_with_the_guest(
    host: Host, authority: Authority, hypervisor: Libvirtd, image: Image
) -> None:
    start(hypervisor, image.xml("brief", OTHER))
    with (
        console(host, authority, "serial", uuid=OTHER) as one,
        console(host, authority, "serial", "view", uuid=OTHER) as viewer,
        console(host, authority, "vnc", uuid=OTHER) as screen,
    ):
        hypervisor.virsh("destroy", "brief")
        assert {one.code(), viewer.code(), screen.code()} == {4411}
    eventually(lambda: not host.daemon.consoles._hubs)


def test_nothing_is_left_of_a_console(host: Host, authority: Authority) -> None:
    process = psutil.Process()

    def open_all() -> None:
        for kind in ("serial", "vnc"):
            with console(host, authority, kind) as one:
                one.ready()
        eventually(lambda: not host.daemon.consoles._hubs)

    open_all()
    before = process.num_fds()
    for _ in range(3):
        open_all()
    eventually(lambda: process.num_fds() <= before)
    gc.collect()
    assert not [found for found in gc.get_objects() if isinstance(found, SerialConsole)]


def test_libvirt_ends(world: World, authority: Authority, libvirtd: Libvirtd, image: Image) -> None:
    libvirtd.start()
    eventually(libvirtd.socket.exists, 30)
    start(libvirtd, image.xml("guest", UUID))
    host = world.host(authority, dataclasses.replace(world.config(), uri=libvirtd.uri))
    enrol(host, authority)
    host.daemon.driver.start()
    eventually(lambda: host.daemon.driver.host()["libvirt"]["alive"], 30)
    with console(host, authority) as one:
        one.ready()
        libvirtd.send(signal.SIGKILL)
        assert one.code() == 1012
    host.daemon.driver.stop()


def test_many_consoles_need_few_threads(host: Host, authority: Authority) -> None:
    with contextlib.ExitStack() as stack:
        before = threading.active_count()
        stack.enter_context(console(host, authority))
        for _ in range(19):
            stack.enter_context(console(host, authority, mode="view"))
            stack.enter_context(console(host, authority, "vnc", mode="view"))
        mine = [thread for thread in threading.enumerate() if "recv_events" not in thread.name]
        assert len(mine) <= before + 30
