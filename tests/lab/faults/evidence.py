"""What was really done to a guest, as QEMU and the guest wrote it down: libvirt may die, these lines stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.lab.hypervisor import Guest, Hypervisor
from tests.lab.machine import wait_for

BOOTED: Final = "guest is up"
# A line of QEMU's log for each time. libvirt reboots and shuts down by the power button.
EFFECTS: Final = {
    "start": "starting up libvirt",
    "reset": '"execute": "system_reset"',
    "reboot": '"execute": "system_powerdown"',
    "shutdown": '"execute": "system_powerdown"',
    "save": '"execute": "migrate"',
}
ON, OFF, PAUSED = "running", "shut off", "paused"
BOOT_SECONDS: Final = 90


@dataclass(frozen=True)
class Subject:
    """A traced guest on its hypervisor."""

    hypervisor: Hypervisor
    guest: Guest

    @property
    def name(self) -> str:
        return self.guest.name

    def state(self) -> str:
        """As virsh calls it."""
        return self.hypervisor.virsh("domstate", self.name).strip()

    def is_saved(self) -> bool:
        listed = self.hypervisor.virsh("list", "--all", "--with-managed-save", "--name")
        return self.name in listed.split()

    def count(self, verb: str) -> int:
        """How often QEMU was told what this verb comes to."""
        return self.hypervisor.read(f"var/log/libvirt/qemu/{self.name}.log").count(EFFECTS[verb])

    def boots(self) -> int:
        """How often the guest came up."""
        return self.hypervisor.console(self.guest).count(BOOTED)

    def be(self, state: str) -> None:
        """Bring the guest to a state, by hand: off, or up. A saved state is given up."""
        if state == OFF and self.is_saved():
            # That one is removed, libvirt tells nobody; that one is passed over, it does.
            self.hypervisor.virsh("start", "--force-boot", self.name)
        if self.state() not in {state, OFF}:
            self.hypervisor.virsh("destroy", self.name)
        if state == ON and self.state() == OFF:
            self.boot()

    def boot(self) -> None:
        """Start the guest afresh, and wait until it is up."""
        boots = self.boots()
        self.hypervisor.virsh("start", "--force-boot", self.name)
        self.wait_for_boot(boots)

    def wait_for_boot(self, boots: int) -> None:
        """Wait until the guest has come up once more than `boots` times."""
        wait_for(lambda: self.boots() > boots, f"{self.name} boots", deadline=BOOT_SECONDS)

    def power_off(self) -> None:
        """Let somebody in the guest switch it off: it has nothing that hears its power button."""
        line = self.hypervisor.virsh("ttyconsole", self.name).strip()
        # QEMU sees only every second whether the line is open.
        again = 'printf "poweroff -f\\n" >&3 || exit 0; sleep 1'
        type_it = f'exec 3<>"$0"; for _ in 1 2 3 4 5 6; do {again}; done'
        self.hypervisor.run("sh", "-c", type_it, line)
        wait_for(lambda: self.state() == OFF, f"{self.name} is off", deadline=30)

    def qemu(self) -> int:
        """Its process, as its machine numbers it."""
        return int(self.hypervisor.read(f"run/libvirt/qemu/{self.name}.pid"))
