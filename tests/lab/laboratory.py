"""Several real hypervisors on one machine, on a network of their own, and a place for the server to stand."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from tests.networks import Segment
from tests.networks.namespace import guard, unique_name
from tests.networks.sweep import owner_is_alive, scratch_root

from . import image
from .hypervisor import Guest, Hypervisor

BLOCK = "10.78.9.0/24"
SERVER = "10.78.9.1"
OTHERS = ("10.78.9.101", "10.78.9.102", "10.78.9.103")  # up, every port closed
_RECORD = "lab.json"


class Lab:
    """`count` hypervisors hv1, hv2, ... at 10.78.9.11, .12, ..., each with a running and a shut-off guest.

    `server` is the namespace that reaches them, `segment` the network, to which a test may attach more. All
    other addresses of the block are silent. A context manager; enter it from the main thread.
    """

    def __init__(self, count: int = 3, *, by_hand: bool = False) -> None:
        self.folder = scratch_root() / unique_name("lab")
        self._by_hand = by_hand
        self.hypervisors: list[Hypervisor] = []
        self._count = count
        self._open = ExitStack()

    def __enter__(self) -> Lab:
        try:
            self._bring_up()
        except BaseException:  # also Ctrl-C: what is up by then is taken down
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything and remove every trace. May be called twice."""
        self._open.close()

    def address_of(self, hypervisor: Hypervisor) -> str:
        """The first address of a hypervisor."""
        return f"10.78.9.{11 + self.hypervisors.index(hypervisor)}"

    def start_daemons(self) -> None:
        """Start virshmanagerd on every hypervisor."""
        self._everywhere(Hypervisor.start_daemon)

    def invite(self, join: str) -> None:
        """Put a join key on every hypervisor."""
        for hypervisor in self.hypervisors:
            hypervisor.invite(join)

    def add(self, name: str, *addresses: str, guests: Sequence[Guest] = ()) -> Hypervisor:
        """Boot one more machine, on which nothing is started yet. Ends with the lab, or by its `close`."""
        network = self.segment.host(name, *addresses)
        hypervisor = Hypervisor(
            name,
            network,
            self.folder / name,
            kernel=self._kernel,
            initramfs=self._initramfs,
            guests=list(guests),
        )
        self._open.callback(hypervisor.close)
        hypervisor.boot()
        return hypervisor

    def _bring_up(self) -> None:
        guard()
        self.folder.mkdir()
        self._open.callback(self.folder.rmdir)
        self._kernel = image.kernel()
        self._initramfs = self.folder / "initramfs"
        self._open.callback(self._initramfs.unlink, missing_ok=True)
        image.make_initramfs(self._initramfs)
        self.segment = self._open.enter_context(Segment(BLOCK))
        self.server = self.segment.host("server", SERVER)
        self.segment.host("others", *OTHERS)
        for number in range(1, self._count + 1):
            guests = [Guest(f"web{number}"), Guest(f"db{number}", running=False)]
            self.hypervisors.append(self.add(f"hv{number}", f"10.78.9.{10 + number}", guests=guests))
        self._everywhere(_populate)
        self._record()

    def _everywhere(self, action: Any) -> None:
        with ThreadPoolExecutor(len(self.hypervisors)) as pool:
            list(pool.map(action, self.hypervisors))

    def _record(self) -> None:
        """Leave a note for `script/lab` in another terminal."""
        machines = {
            hypervisor.name: {"pid": hypervisor.pid, "address": self.address_of(hypervisor)}
            for hypervisor in self.hypervisors
        }
        record = self.folder / _RECORD
        self._open.callback(record.unlink, missing_ok=True)
        facts = {"name": self.folder.name, "owner": os.getpid(), "by_hand": self._by_hand}
        record.write_text(json.dumps({**facts, "server": self.server.name, "machines": machines}))


def labs_that_are_up(name: str | None = None) -> list[dict[str, Any]]:
    """The record of the lab called `name`, or of every lab that a person brought up, oldest first."""
    found = [path for path in scratch_root().glob(f"vm*-lab/{_RECORD}") if owner_is_alive(path.parent.name)]
    records = [json.loads(path.read_text()) for path in sorted(found, key=lambda path: path.stat().st_mtime)]
    return [record for record in records if (record["by_hand"] if name is None else record["name"] == name)]


def _populate(hypervisor: Hypervisor) -> None:
    hypervisor.wait_until_ready()
    hypervisor.start_libvirt()
    hypervisor.start_guests()
