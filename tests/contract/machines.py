"""Machines that run the real daemon in this process, on libvirt's test driver, behind real sockets."""

import json
import shutil
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from virshmanagerd import certificates, files
from virshmanagerd.config import Config
from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver
from virshmanagerd.engine import Engine
from virshmanagerd.identity import OWNER


class Machine:
    """One machine with a daemon: started at an address, stopped, moved, copied and reset."""

    def __init__(self, folder: Path, *, uri: str = "test:///default") -> None:
        self.folder = folder
        self.uri = uri
        folder.mkdir()
        (folder / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")

    def give_join_key(self, join: dict[str, Any]) -> None:
        files.write_private(self.folder / "join.json", json.dumps(join).encode())

    def copy(self, folder: Path) -> "Machine":
        """A full clone: state, key, machine-id, all."""
        shutil.copytree(self.folder, folder)
        clone = object.__new__(Machine)
        clone.folder, clone.uri = folder, self.uri
        return clone

    def reset(self) -> None:
        """What root does by `virshmanagerd reset`, with the daemon stopped."""
        files.remove(self.folder / "state" / OWNER)

    def run(self, ip: str = "127.0.0.1", port: int = 0) -> "Running":
        return Running(self, ip, port)


class Running:
    """A machine that is up, from `with` to its end."""

    def __init__(self, machine: Machine, ip: str, port: int) -> None:
        self._listener = socket.create_server((ip, port), backlog=64)
        self.ip, self.port = self._listener.getsockname()[:2]
        config = Config(
            uri=machine.uri,
            state_dir=machine.folder / "state",
            join_file=machine.folder / "join.json",
            machine_id_file=machine.folder / "machine-id",
            hostname=machine.folder.name,
        )
        self.daemon = Daemon(config, Driver(config.uri))
        self.id = UUID(certificates.host_id(self.daemon.identity.key.public_key()))
        self.engine = Engine()
        self._thread = threading.Thread(target=self.engine.run)

    def __enter__(self) -> Self:
        self.daemon.driver.start()
        self.engine.add(self.daemon, self._listener)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.engine.stop()
        self._thread.join(10)
        self.daemon.operations.stop()
        self.daemon.driver.stop()
