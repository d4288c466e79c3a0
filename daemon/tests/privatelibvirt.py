"""A real libvirtd for tests: in a mount namespace of its own, with all its folders below the test's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypervisors import eventually

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


MARKS = [
    pytest.mark.real_libvirt,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(no_namespace(), reason="needs a mount namespace, and none can be made here"),
]

FOLDERS = ("/run/libvirt", "/var/lib/libvirt", "/etc/libvirt", "/var/log/libvirt")
CACHE = "/var/cache/libvirt"
HOST_UUID = "1f6d8d3c-53a2-4be5-8f0a-2a5b8f0e9d11"
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
        self._namespace: str | None = None

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
        # One that this ends cannot be asked any more where its guests are.
        self._namespace = mounts_of(self._process.pid)
        self._process.send_signal(number)

    def kill(self) -> None:
        """End libvirtd without warning, and with it whatever it has started."""
        if self._process is None:
            return
        namespace = mounts_of(self._process.pid) or self._namespace
        self._process.kill()
        self._process.wait()
        self._process = None
        if namespace != mounts_of(os.getpid()):
            eventually(lambda: not kill_all_in(namespace))

    def virsh(self, *arguments: str) -> str:
        command = ["virsh", "--connect", self.uri, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

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


@pytest.fixture(scope="session")
def mount_points() -> Iterator[None]:
    """The places over which the private folders are mounted."""
    missing = [Path(folder) for folder in (*FOLDERS, CACHE) if not Path(folder).is_dir()]
    for folder in missing:
        folder.mkdir()
    yield
    for folder in missing:
        folder.rmdir()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What libvirtd learns of its emulators takes seconds: once for all tests here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def libvirtd(tmp_path: Path, cache: Path, mount_points: None) -> Iterator[Libvirtd]:
    """One that has not been started yet; the machine's own is left alone."""
    before = {folder: sorted(Path(folder).iterdir()) for folder in (*FOLDERS, CACHE)}
    libvirtd = Libvirtd(tmp_path, cache)
    try:
        yield libvirtd
    finally:
        libvirtd.kill()
    assert {folder: sorted(Path(folder).iterdir()) for folder in before} == before
