"""The driver against a real libvirtd with a real QEMU guest, private to this test.

libvirtd runs in a mount namespace of its own: its folders lie in the test's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypervisors import answers, eventually, running

from virshmanagerd import png
from virshmanagerd.driver import Driver, Limits
from virshmanagerd.errors import LibvirtDown, Unavailable, WrongState

PROGRAMS = ("libvirtd", "qemu-system-x86_64", "unshare", "virsh")
MISSING = [
    program for program in PROGRAMS if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None
]

NAMESPACE = ("unshare", "--mount", "--propagation", "private")


def no_namespace() -> bool:
    """Whether mounts cannot be made private, as in a chroot."""
    return (
        bool(MISSING)
        or subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode != 0
    )


pytestmark = [
    pytest.mark.real_libvirt,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(no_namespace(), reason="needs a mount namespace, and none can be made here"),
]

FOLDERS = ("/run/libvirt", "/var/lib/libvirt", "/etc/libvirt", "/var/log/libvirt")
CACHE = "/var/cache/libvirt"
UUID = "b0f3c1de-7d5c-4a36-9d0e-6c1f4d9be001"
HOST_UUID = "1f6d8d3c-53a2-4be5-8f0a-2a5b8f0e9d11"
DOMAIN = f"""
<domain type='qemu'>
  <name>tiny</name><uuid>{UUID}</uuid><title>Tiny</title>
  <memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <serial type='pty'/>
    <video><model type='vga'/></video>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
SETTINGS = f'auth_unix_rw = "none"\nhost_uuid = "{HOST_UUID}"\n'
QEMU_SETTINGS = """
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
"""
LIMITS = Limits(retry_first=0.1, retry_last=0.5)


class Libvirtd:
    """A libvirtd whose folders are below `home`."""

    def __init__(self, home: Path, cache: Path) -> None:
        self.home = home
        for folder in FOLDERS:
            (home / folder[1:]).mkdir(parents=True)
        self._mounts = {folder: home / folder[1:] for folder in FOLDERS} | {CACHE: cache}
        (home / "etc/libvirt/libvirtd.conf").write_text(SETTINGS)
        (home / "etc/libvirt/qemu.conf").write_text(QEMU_SETTINGS)
        self.socket = home / "run/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        mounts = " && ".join(f"mount --bind '{own}' {folder}" for folder, own in self._mounts.items())
        run = f"exec libvirtd --pid-file '{self.home}/libvirtd.pid'"
        with (self.home / "libvirtd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*NAMESPACE, "sh", "-c", f"{mounts} && {run}"],
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End libvirtd without warning, and with it whatever it has started."""
        if self._process is None:
            return
        namespace = mounts_of(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._process = None
        if namespace != mounts_of(os.getpid()):
            eventually(lambda: not kill_all_in(namespace))

    def virsh(self, *arguments: str) -> None:
        command = ["virsh", "--connect", self.uri, *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def guests(self) -> list[int]:
        files = (self.home / "run/libvirt/qemu").glob("*.pid")
        return [int(file.read_text()) for file in files if file.stem != "driver"]


def mounts_of(pid: int) -> str | None:
    """The name of a process's mount namespace; None when the process has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")  # noqa: PTH115 - a name, not a path
    except OSError:
        return None


def kill_all_in(namespace: str | None) -> list[int]:
    """Kill the processes of a mount namespace; return those that were still there."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    found = [pid for pid in pids if namespace is not None and mounts_of(pid) == namespace]
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


@pytest.fixture(scope="module", autouse=True)
def _mount_points() -> Iterator[None]:
    """The places over which the private folders are mounted."""
    missing = [Path(folder) for folder in (*FOLDERS, CACHE) if not Path(folder).is_dir()]
    for folder in missing:
        folder.mkdir()
    yield
    for folder in missing:
        folder.rmdir()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What libvirtd learns of its emulators takes seconds: once for all tests here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def libvirtd(tmp_path: Path, cache: Path) -> Iterator[Libvirtd]:
    libvirtd = Libvirtd(tmp_path, cache)
    try:
        yield libvirtd
    finally:
        libvirtd.kill()


def fail() -> None:
    raise AssertionError("too many calls were lost")


def alive(driver: Driver) -> bool:
    return driver.host()["libvirt"]["alive"]


def test_libvirt_comes_goes_and_comes_again(libvirtd: Libvirtd) -> None:
    with running(Driver(libvirtd.uri, limits=LIMITS, on_exhausted=fail), connected=False) as driver:
        eventually(lambda: "libvirt-sock" in (driver.host()["libvirt"]["error"] or ""))
        libvirtd.start()
        eventually(lambda: alive(driver), 30)
        epoch = driver.event_epoch
        libvirtd.virsh("list")

        libvirtd.kill()
        eventually(lambda: not alive(driver), 5)
        with pytest.raises(LibvirtDown):
            driver.domains()

        libvirtd.start()
        eventually(lambda: alive(driver), 30)
        assert driver.event_epoch != epoch
        listing = driver.domains()
        assert (listing["event_epoch"], listing["domains"]) == (driver.event_epoch, [])


def test_a_libvirt_that_stops_answering_is_noticed_and_comes_back(libvirtd: Libvirtd) -> None:
    limits = Limits(read=0.3, bulk=0.5, bulk_first=0.3, open=1, retry_first=0.1, retry_last=0.5)
    libvirtd.start()
    with running(Driver(libvirtd.uri, limits=limits, on_exhausted=fail), connected=False) as driver:
        eventually(lambda: alive(driver), 30)
        libvirtd.send(signal.SIGSTOP)
        with pytest.raises(Unavailable):
            driver.domains()
        assert not alive(driver)
        libvirtd.send(signal.SIGCONT)
        eventually(lambda: alive(driver))


def test_a_guest_is_seen_from_its_definition_to_its_end(libvirtd: Libvirtd, tmp_path: Path) -> None:
    (tmp_path / "tiny.xml").write_text(DOMAIN)
    libvirtd.start()
    with running(Driver(libvirtd.uri, on_exhausted=fail), connected=False) as driver:
        eventually(lambda: answers(driver), 30)
        eventually(lambda: driver.host()["uuid"] == HOST_UUID, 30)

        libvirtd.virsh("define", str(tmp_path / "tiny.xml"))
        (listed,) = driver.domains()["domains"]
        assert (listed["uuid"], listed["state"], listed["title"]) == (UUID, "shutoff", "Tiny")
        assert (listed["vcpus"], listed["memory"]) == (1, 32 * 2**20)
        with pytest.raises(WrongState):
            driver.screenshot(UUID)

        libvirtd.virsh("start", "tiny")
        (listed,) = driver.domains()["domains"]
        assert (listed["state"], listed["reason"]) == ("running", "booted")
        one = driver.domain(UUID)
        assert {key: one[key] for key in listed} == listed  # type: ignore[literal-required]
        assert one["consoles"] == [{"type": "pty", "target": "serial"}]
        assert driver.screenshot(UUID).startswith(png.SIGNATURE)
        (entry,) = driver.stats()
        assert entry["stats"]["cpu.time"]

        libvirtd.virsh("desc", "tiny", "--live", "--config", "--title", "Renamed")
        eventually(lambda: driver.domains()["domains"][0]["title"] == "Renamed", 1)

        libvirtd.virsh("destroy", "tiny")
        (listed,) = driver.domains()["domains"]
        assert (listed["state"], listed["reason"]) == ("shutoff", "destroyed")


def test_a_frozen_guest_does_not_hide_its_host(libvirtd: Libvirtd, tmp_path: Path) -> None:
    (tmp_path / "tiny.xml").write_text(DOMAIN)
    libvirtd.start()
    with running(
        Driver(libvirtd.uri, limits=Limits(bulk_first=0.5), on_exhausted=fail), connected=False
    ) as driver:
        # A new libvirtd first tries out its emulators, and holds domains up meanwhile.
        eventually(lambda: driver.host()["libvirt"]["hypervisor_version"], 30)
        libvirtd.virsh("create", str(tmp_path / "tiny.xml"))
        (guest,) = libvirtd.guests()
        os.kill(guest, signal.SIGSTOP)

        begin = time.monotonic()
        for _ in range(6):  # more often than lost calls are allowed
            (listed,) = driver.domains()["domains"]
            assert (listed["uuid"], listed["memory"]) == (UUID, 32 * 2**20)
            assert driver.domain(UUID)["state"] == "running"
            assert driver.stats()[0]["uuid"] == UUID
        assert time.monotonic() - begin < 10

        os.kill(guest, signal.SIGCONT)
        eventually(lambda: driver.stats()[0]["stats"].get("balloon.rss"))


@pytest.fixture(autouse=True)
def _libvirt_of_the_machine_is_left_alone() -> Iterator[None]:
    before = {folder: sorted(Path(folder).iterdir()) for folder in (*FOLDERS, CACHE)}
    yield
    assert {folder: sorted(Path(folder).iterdir()) for folder in before} == before
