"""A machine with a real libvirtd, real QEMU guests, and our daemon beside them."""

from __future__ import annotations

import socket
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.networks import Namespace

from .machine import Machine, wait_for

DAEMON_PORT = 16510
JOIN_FILE = "etc/virshmanager/join.json"
_GUEST_XML = Path(__file__).with_name("guest.xml")
_LIBVIRTD_CONF = """\
host_uuid = "{host_uuid}"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""
# As root and without cgroups and security labels: the lab leaves no trace outside its namespaces.
_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""
# Tests count what QEMU and guests wrote: nothing of it may be rolled away.
_VIRTLOGD_CONF = f"max_size = {100 * 2**20}\n"
# cli; hlt, and again after an NMI: at the address from which an x86 processor begins, 16 bytes below the end.
_HALTING_FIRMWARE = b"\xfa\xf4\xeb\xfc".rjust(2**16 - 12, b"\xf4").ljust(2**16, b"\xf4")
_QEMU_SCHEMA = "http://libvirt.org/schemas/domain/qemu/1.0"


@dataclass(frozen=True)
class Guest:
    """A domain to define; `running` ones are started.

    Of a `traced` one QEMU logs each command that it gets, and the log of its serial line grows for ever.
    `agent` gives it the channel of a guest agent, and calls `guest-agent` with these words: "hear,endless".
    One that `halts` does so at its first instruction, and takes no processor.
    """

    name: str
    running: bool = True
    traced: bool = False
    agent: str = ""
    halts: bool = False
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))


class Hypervisor(Machine):
    """`guests` boot `kernel` with `initramfs`. After it is ready: `start_libvirt`, then `start_guests`."""

    def __init__(
        self,
        name: str,
        network: Namespace,
        folder: Path,
        *,
        kernel: Path,
        initramfs: Path,
        guests: list[Guest],
    ) -> None:
        super().__init__(name, network, folder)
        self.kernel = kernel
        self.initramfs = initramfs
        self.guests = guests
        self.host_uuid = str(uuid.uuid4())
        for old in sorted((folder / "etc/libvirt").rglob("*"), reverse=True):
            old.rmdir() if old.is_dir() and not old.is_symlink() else old.unlink()
        self.write("etc/libvirt/libvirtd.conf", _LIBVIRTD_CONF.format(host_uuid=self.host_uuid))
        self.write("etc/libvirt/qemu.conf", _QEMU_CONF)
        self.write("etc/libvirt/virtlogd.conf", _VIRTLOGD_CONF)
        self.steps.mkdir()
        network.ip("link add br0 type bridge", "link set br0 up")

    def start_libvirt(self) -> None:
        """Start virtlogd and libvirtd, and wait until libvirtd answers."""
        self.start("virtlogd", "virtlogd")
        self.restart_libvirtd()

    def restart_libvirtd(self) -> None:
        """Start libvirtd (again) and wait until it answers."""
        self.start("libvirtd", "libvirtd", "--timeout", "0")
        # The socket of a killed libvirtd stays behind: that it exists says nothing.
        listens = self.folder / "run/libvirt/libvirt-sock"
        wait_for(lambda: _accepts(listens), f"libvirtd of {self.name} listens")
        self.virsh("uri")

    def virsh(self, *arguments: str) -> str:
        """The output of `virsh` on this hypervisor. CalledProcessError when libvirt says no."""
        return self.run("virsh", "--quiet", "--connect", "qemu:///system", *arguments, timeout=60)

    def start_guests(self) -> None:
        """Define all guests and start those that run."""
        for guest in self.guests:
            self.add_guest(guest)

    def add_guest(self, guest: Guest) -> None:
        """Define a guest, and start it if it runs."""
        self.write(f"run/lab/{guest.name}.xml", self._xml_of(guest))
        self.virsh("define", f"/run/lab/{guest.name}.xml")
        if guest.running:
            self.virsh("start", guest.name)

    def console(self, guest: Guest) -> str:
        """What a guest printed to its serial console so far."""
        return self.read(f"var/log/libvirt/qemu/{guest.name}-serial.log")

    def start_daemon(self, *variables: str, port: int = DAEMON_PORT) -> None:
        """Start virshmanagerd, with more environment variables (NAME=value), and wait until it listens."""
        self.start(
            "virshmanagerd",
            *("env", f"VIRSHMANAGERD_HALT_IN={self.steps}", *variables),
            Path(sys.executable).with_name("virshmanagerd"),
            *("--listen", "0.0.0.0"),  # noqa: S104 -- every address of a namespace that only the lab reaches
            *("--port", str(port)),
            *("--uri", "qemu:///system"),
            *("--state-dir", self.daemon_state),
            *("--join-file", f"/{JOIN_FILE}"),
        )
        listening = (
            f":{port:04X} 00000000:0000 0A "  # proc(5), net/tcp: local address, remote address, LISTEN
        )
        wait_for(
            lambda: listening in Path(f"/proc/{self.pid}/net/tcp").read_text(),
            f"virshmanagerd of {self.name}",
        )

    @property
    def steps(self) -> Path:
        """Where a test holds the daemon at a step (virshmanagerd.faults)."""
        return self.folder / "run/lab/steps"

    @property
    def daemon_state(self) -> Path:
        """Where the daemon keeps its key and its owner."""
        return self.folder / "var/lib/virshmanagerd"

    def invite(self, join: str) -> None:
        """Put a join key in place, as an operator would; the daemon finds it."""
        self.write(JOIN_FILE, join)
        (self.folder / JOIN_FILE).chmod(0o600)

    def _xml_of(self, guest: Guest) -> str:
        disk = self.folder / f"var/lib/libvirt/images/{guest.name}.img"
        disk.parent.mkdir(exist_ok=True)
        with disk.open("wb") as image:
            image.truncate(1 << 20)
        domain = ElementTree.fromstring(_GUEST_XML.read_text())  # noqa: S314 -- our own file
        for tag, text in {
            "name": guest.name,
            "uuid": guest.uuid,
            "title": f"{guest.name} of {self.name}",
            "os/kernel": str(self.kernel),
            "os/initrd": str(self.initramfs),
        }.items():
            _element(domain, tag).text = text
        _element(domain, "devices/disk/source").set("file", f"/var/lib/libvirt/images/{guest.name}.img")
        log, append = f"/var/log/libvirt/qemu/{guest.name}-serial.log", "on" if guest.traced else "off"
        ElementTree.SubElement(_element(domain, "devices/serial"), "log", file=log, append=append)
        if guest.agent:
            line = _element(domain, "os/cmdline")
            line.text = f"{line.text} agent={guest.agent}"
            channel = ElementTree.SubElement(_element(domain, "devices"), "channel", type="unix")
            ElementTree.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
        if guest.halts:
            disk.with_suffix(".rom").write_bytes(_HALTING_FIRMWARE)
            system = _element(domain, "os")
            for tag in ("kernel", "initrd", "cmdline"):
                system.remove(_element(system, tag))
            loader = ElementTree.SubElement(system, "loader", readonly="yes", type="rom")
            loader.text = f"/var/lib/libvirt/images/{guest.name}.rom"
        if guest.traced:
            command = ElementTree.SubElement(domain, f"{{{_QEMU_SCHEMA}}}commandline")
            for value in ("-trace", "handle_qmp_command"):
                ElementTree.SubElement(command, f"{{{_QEMU_SCHEMA}}}arg", value=value)
        return ElementTree.tostring(domain, encoding="unicode")


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _element(tree: ElementTree.Element, path: str) -> ElementTree.Element:
    found = tree.find(path)
    if found is None:
        raise LookupError(path)
    return found
