"""A real guest whose agent is hostile: libvirt hears it, others ask it, and nothing of ours depends on it.

What the guest does in place of an agent is in `tests/lab/guest-agent`, by the names that are used here.
"""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest
from authority import Authority
from doors import Host, World
from guests import Image, guest_xml
from hypervisors import eventually, uuid_of
from operating import Server
from privatelibvirt import MARKS, Libvirtd
from terminals import Console, console

pytestmark = [*MARKS, pytest.mark.attack("Hostile guest"), pytest.mark.timeout(180)]

ANSWERS: Final = ("mute", "hanging", "lying", "talking", "pouring", "nested", "rude", "mistaken")
UNASKED: Final = ("endless", "eager")
# `script/attacks` tries all of them.
EVERYDAY: Final = ("hanging", "talking", "endless")
# libvirt takes 10 MiB for one answer before it hangs up.
LESS_THAN_AN_ANSWER: Final = 8 * 2**20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        all_of_them = metafunc.config.pluginmanager.hasplugin("tests.attacks")
        metafunc.parametrize("kind", ANSWERS + UNASKED if all_of_them else EVERYDAY)


@pytest.fixture(scope="module")
def hypervisor(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, mount_points: None
) -> Iterator[Libvirtd]:
    """One with the domains `guest`, which has the channel of an agent, and `other`."""
    image = Image.make(tmp_path_factory.mktemp("image"))
    libvirtd = Libvirtd(tmp_path_factory.mktemp("libvirtd"), cache)
    guest = image.xml("guest", uuid_of("guest"), graphics=None, agent=True)
    try:
        libvirtd.start()
        eventually(libvirtd.socket.exists, 30)
        for name, xml in {"guest": guest, "other": guest_xml("other")}.items():
            (libvirtd.home / f"{name}.xml").write_text(xml)
            libvirtd.virsh("define", str(libvirtd.home / f"{name}.xml"))
        yield libvirtd
    finally:
        libvirtd.kill()


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, hypervisor: Libvirtd
) -> Iterator[Host]:
    """An owned daemon on that hypervisor."""
    world = World(tmp_path_factory.mktemp("world"))
    host = world.owned(authority, dataclasses.replace(world.config(), uri=hypervisor.uri))
    host.daemon.driver.start()
    eventually(lambda: host.daemon.driver.host()["libvirt"]["alive"], 30)
    yield host
    eventually(lambda: not host.daemon.consoles._hubs)
    host.daemon.operations.stop()
    host.daemon.driver.stop()
    world.close()


@pytest.fixture
def shell(host: Host, authority: Authority, hypervisor: Libvirtd) -> Iterator[Console]:
    """The shell of the guest."""
    if "running" not in hypervisor.virsh("domstate", "guest"):
        hypervisor.virsh("start", "guest")
    with console(host, authority, uuid=uuid_of("guest")) as shell:
        shell.shell()
        yield shell


@contextmanager
def owner(host: Host, authority: Authority) -> Iterator[Server]:
    """Its owner, on a connection that is used at once."""
    with host.session(authority.server()) as session:
        yield Server(host, session)


def become(kind: str, shell: Console, hypervisor: Libvirtd) -> None:
    """Let the guest have such an agent, with which libvirt is connected."""
    shell.type(f"agent {kind}\r")
    shell.expect(f"the agent is {kind}".encode())
    eventually(lambda: "state='connected'" in hypervisor.virsh("dumpxml", "guest"))


@contextmanager
def asked(hypervisor: Libvirtd) -> Iterator[None]:
    """Meanwhile somebody else asks the agent to shut the guest down."""
    command = ["virsh", "--connect", hypervisor.uri, "shutdown", "guest", "--mode", "agent"]
    virsh = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        virsh.kill()
        virsh.wait()


def test_each_change_has_its_verdict_while_an_agent_is_hostile(
    host: Host, authority: Authority, hypervisor: Libvirtd, shell: Console, kind: str
) -> None:
    become(kind, shell, hypervisor)
    before = psutil.Process().memory_info().rss
    with asked(hypervisor), owner(host, authority) as server:
        if kind in ANSWERS:
            shell.expect(b"asked: ")
        answer = server.put("shutdown", "guest", deadline=1)
        assert server.did("start", "other")["state"] == "done"
        document = server.verdict(answer)
        # It hears no button, and not a word of its own is in what is told of it.
        refusal = {"type": "guest_did_not_stop", "detail": "The guest did not shut down in time"}
        assert (document["state"], document["problem"]) == ("failed", refusal)
        assert server.did("reboot", "guest")["state"] == "done"
        assert server.did("destroy", "other")["state"] == "done"
        assert server.row("guest")["state"] == "running"
        assert server.document(answer.json["id"])["state"] == "failed"
    assert psutil.Process().memory_info().rss - before < LESS_THAN_AN_ANSWER


def test_the_button_is_pressed_and_the_agent_is_not_asked(
    host: Host, authority: Authority, hypervisor: Libvirtd, shell: Console
) -> None:
    become("lying", shell, hypervisor)
    shell.type("agent hear\r")
    shell.expect(b"the button is heard")
    guest = f"/v1/domains/{uuid_of('guest')}"
    with owner(host, authority) as server:
        for path in (guest, f"{guest}/xml", "/v1/domains", "/v1/stats", "/v1/host"):
            assert server.send("GET", path).status == 200
        for verb in ("suspend", "resume", "shutdown"):
            assert server.did(verb, "guest", deadline=30)["state"] == "done", verb
        assert server.row("guest")["state"] == "shutoff"
    assert shell.code() == 4411  # with all that the guest has said
    assert b"asked: " not in shell.text
