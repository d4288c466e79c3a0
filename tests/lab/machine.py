"""A machine of the lab: namespaces and files of its own, on the kernel of this one.

It has its own network, mounts, hostname and process ids, a copy of /etc with its own machine-id, and a /run.
Every process of it dies with its first one, and that one dies with us.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.networks import Namespace

_INIT = Path(__file__).with_name("machine-init")
_PRIVATE = ("dev", "run/lab", "run/lock", "var/lib/libvirt", "var/log/libvirt/qemu", "var/cache/libvirt")


def wait_for(condition: Callable[[], object], what: str, *, deadline: float = 20) -> None:
    """Return when `condition` holds. TimeoutError after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {what}")
        time.sleep(0.02)


class Machine:
    """`network` is where it is reached, `folder` holds its files, `name` is its hostname.

    `boot` must be called from the main thread: the kernel ties the life of the machine to the calling thread.
    """

    def __init__(self, name: str, network: Namespace, folder: Path) -> None:
        self.name = name
        self.network = network
        self.folder = folder
        self._outside: subprocess.Popen[bytes] | None = None
        self._prepare_files()

    def _prepare_files(self) -> None:
        for path in _PRIVATE:
            (self.folder / path).mkdir(parents=True)
        subprocess.run(["cp", "-a", "/etc", self.folder / "etc"], check=True, timeout=30)
        self.write("etc/machine-id", f"{uuid.uuid4().hex}\n")
        self.write("etc/hostname", f"{self.name}\n")
        self.write("run/lab/boot_id", f"{uuid.uuid4()}\n")

    def write(self, path: str, content: str) -> None:
        """Write a file of the machine; `path` is relative to its root (etc/... or run/...)."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # A symbolic link copied with /etc would lead out of the folder.
        target.unlink(missing_ok=True)
        target.write_text(content)

    def read(self, path: str) -> str:
        """Read a file of the machine."""
        return (self.folder / path).read_text()

    def boot(self) -> None:
        """Start its first process. Returns at once; `wait_until_ready` waits."""
        unshare = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
        command = self.network.command(*unshare, _INIT, self.folder, self.name)
        with (self.folder / "run/lab/init.log").open("wb") as log:
            self._outside = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command], stderr=log, stdout=log
            )

    def wait_until_ready(self) -> None:
        """Wait until it has its own files. TimeoutError, with what its first process said, if it does not."""
        try:
            wait_for((self.folder / "run/lab/ready").exists, f"{self.name} boots")
        except TimeoutError as error:
            error.add_note(self.log("init"))
            raise

    @property
    def pid(self) -> int:
        """The first process of the machine, as this machine numbers it."""
        if self._outside is None:
            raise ProcessLookupError(f"{self.name} is not booted")
        outside = self._outside.pid
        children = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()
        if not children:
            raise ProcessLookupError(f"{self.name} is down")
        return int(children[0])

    def close(self) -> None:
        """Kill all that runs in it and remove its files. May be called twice."""
        if self._outside is not None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except (ProcessLookupError, FileNotFoundError):
                self._outside.kill()
            # The kernel lets the first process go last, so nothing of the machine runs after this.
            self._outside.wait(timeout=20)
            self._outside = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *argv: str | Path) -> list[str]:
        """The argument list that runs `argv` inside."""
        return enter(self.pid, *argv)

    def run(self, *argv: str | Path, timeout: float = 30, **options: Any) -> str:
        """Run to its end and give its output. CalledProcessError (with the errors as a note) on failure."""
        try:
            done: subprocess.CompletedProcess[str] = subprocess.run(
                self.command(*argv), check=True, capture_output=True, text=True, timeout=timeout, **options
            )
        except subprocess.CalledProcessError as error:
            error.add_note(f"{error.stdout}{error.stderr}".strip())
            raise
        return done.stdout

    def start(self, service: str, *argv: str | Path) -> None:
        """Start a service that runs until `stop`. Its output goes to /run/lab/SERVICE.log of the machine."""
        script = 'echo $$ >"/run/lab/$0.pid"; exec "$@" >>"/run/lab/$0.log" 2>&1 </dev/null'
        self.run("setsid", "--fork", "sh", "-c", script, service, *argv)

    def stop(self, service: str, how: signal.Signals = signal.SIGTERM, *, timeout: float = 20) -> None:
        """Send a signal to a service and wait until it is gone."""
        script = (
            'pid=$(cat "/run/lab/$0.pid"); kill -s "$1" "$pid"; while kill -0 "$pid"; do sleep 0.02; done'
        )
        self.run("sh", "-c", script, service, str(int(how)), timeout=timeout)

    def runs(self, service: str) -> bool:
        """Whether a service is alive."""
        script = 'kill -0 "$(cat "/run/lab/$0.pid")" 2>/dev/null && echo yes || true'
        return bool(self.run("sh", "-c", script, service))

    def send(self, service: str, what: signal.Signals) -> None:
        """Send a signal to all processes of a service, and do not wait."""
        self.run("sh", "-c", 'kill -s "$1" -- "-$(cat "/run/lab/$0.pid")"', service, str(int(what)))

    def log(self, service: str) -> str:
        """What a service printed so far."""
        return self.read(f"run/lab/{service}.log")


def enter(pid: int, *argv: str | Path) -> list[str]:
    """The argument list that runs `argv` in the machine whose first process is `pid`."""
    # With its root: a namespace alone would lead out of a chroot, which the tests may run in.
    root = f"/proc/{pid}/root"
    there = ("--mount", "--uts", "--net", "--pid", f"--root={root}", f"--wd={root}")
    return ["nsenter", "--target", str(pid), *there, "--", *map(str, argv)]
