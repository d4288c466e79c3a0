"""The lab itself: real hypervisors come up in time, are apart from each other, and leave nothing behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.networks.sweep import NETNS_FOLDER, scratch_root

from .hypervisor import Hypervisor
from .laboratory import BLOCK, OTHERS, SERVER, Lab
from .machine import wait_for

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "script/lab"


def states(hypervisor: Hypervisor) -> dict[str, str]:
    """Name and state of every domain, in the words of virsh."""
    rows = (line.split(maxsplit=2) for line in hypervisor.virsh("list", "--all").splitlines() if line.strip())
    return {name: state.strip() for _id, name, state in rows}


def processes_with(text: str) -> list[str]:
    """Command lines on this machine that contain `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if text in line:
            found.append(line)
    return found


def traces_of(folder: Path) -> list[str]:
    """What is there of the lab in `folder` and of others of its process: namespaces, processes, mounts."""
    owner = folder.name.rsplit("-", 2)[0] + "-"
    namespaces = [path.name for path in NETNS_FOLDER.glob(f"{owner}*")] if NETNS_FOLDER.is_dir() else []
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if owner in line]
    folders = [path.name for path in scratch_root().glob(f"{owner}*")]
    return [*folders, *namespaces, *mounts, *processes_with(str(folder))]


class TestNothingIsLeft:
    def test_after_tear_down(self) -> None:
        started, others = time.monotonic(), traces_of(Lab(count=0).folder)
        with Lab(count=1) as lab:
            assert time.monotonic() - started < 60
            assert processes_with(str(lab.folder))
            assert traces_of(lab.folder) != others
        assert traces_of(lab.folder) == others

    def test_after_a_failure_halfway(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(hypervisor: Hypervisor) -> None:
            raise RuntimeError(f"{hypervisor.name} has no guests today")

        monkeypatch.setattr(Hypervisor, "start_guests", fail)
        lab = Lab(count=1)
        others = traces_of(lab.folder)
        with pytest.raises(RuntimeError, match="hv1 has no guests"):
            lab.__enter__()
        assert traces_of(lab.folder) == others

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_after_its_owner_was_stopped(self, how: signal.Signals) -> None:
        code = (
            "import sys; from tests.lab.laboratory import Lab\n"
            "with Lab(count=1) as lab: print(lab.folder, flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as owner:
            assert owner.stdout is not None
            folder = Path(owner.stdout.readline().strip())
            assert folder.is_dir()
            owner.send_signal(how)
            owner.wait(timeout=20)
        wait_for(lambda: traces_of(folder) == [], f"nothing is left of {folder}")


class TestHypervisors:
    def test_three_libvirtd_answer_with_their_own_domains(self, lab: Lab) -> None:
        assert [states(hypervisor) for hypervisor in lab.hypervisors] == [
            {"web1": "running", "db1": "shut off"},
            {"web2": "running", "db2": "shut off"},
            {"web3": "running", "db3": "shut off"},
        ]

    def test_guests_run_and_talk_on_their_consoles(self, lab: Lab) -> None:
        for hypervisor in lab.hypervisors:
            [running] = [guest for guest in hypervisor.guests if guest.running]
            wait_for(lambda: "guest is up" in hypervisor.console(running), "the guest boots", deadline=60)  # noqa: B023

    def test_each_is_a_machine_of_its_own(self, lab: Lab) -> None:
        ours = Path("/etc/machine-id").read_text() if Path("/etc/machine-id").exists() else ""
        names = [hypervisor.run("hostname").strip() for hypervisor in lab.hypervisors]
        machine_ids = {hypervisor.run("cat", "/etc/machine-id") for hypervisor in lab.hypervisors}
        host_uuids = {
            hypervisor.run("virsh", "capabilities").split("<uuid>")[1][:36] for hypervisor in lab.hypervisors
        }
        assert names == ["hv1", "hv2", "hv3"] != [socket.gethostname()] * 3
        boot_ids = {
            hypervisor.run("cat", "/proc/sys/kernel/random/boot_id") for hypervisor in lab.hypervisors
        }
        assert len(machine_ids - {ours}) == 3
        assert len(boot_ids - {Path("/proc/sys/kernel/random/boot_id").read_text()}) == 3
        assert host_uuids == {hypervisor.host_uuid for hypervisor in lab.hypervisors}

    def test_libvirtd_dies_and_comes_back_and_its_guests_stay(self, lab: Lab) -> None:
        hypervisor = lab.hypervisors[0]
        hypervisor.stop("libvirtd", signal.SIGKILL)
        with pytest.raises(subprocess.CalledProcessError):
            hypervisor.virsh("list")
        hypervisor.restart_libvirtd()
        assert states(hypervisor)["web1"] == "running"


class TestNetwork:
    def test_the_server_sees_hypervisors_and_others_and_silence(self, lab: Lab) -> None:
        scanned = lab.server.run("nmap", "-n", "-sn", "-T5", "--max-retries", "1", "-oG", "-", BLOCK).stdout
        found = {line.split()[1] for line in scanned.splitlines() if line.startswith("Host:")}
        assert found == {SERVER, *OTHERS, "10.78.9.11", "10.78.9.12", "10.78.9.13"}

    def test_no_libvirt_or_vnc_port_is_open_to_the_network(self, lab: Lab) -> None:
        scanned = lab.server.run("nmap", "-n", "-p16509,16514,5900-5903", "-oG", "-", "10.78.9.11-13").stdout
        assert "/open/" not in scanned
        assert "3 hosts up" in scanned


class TestScript:
    def script(self, lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPT), "--lab", lab.folder.name, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    def test_a_host_that_does_not_exist_is_named(self, lab: Lab) -> None:
        ran = self.script(lab, "shell", "hv9")
        assert ran.returncode == 2
        assert "no such host: hv9" in ran.stderr

    def test_status_shows_a_lab(self, lab: Lab) -> None:
        assert lab.server.name in self.script(lab, "status").stdout

    def test_run_is_in_the_server_namespace_and_passes_the_exit_status_on(self, lab: Lab) -> None:
        ran = self.script(lab, "run", "--", "sh", "-c", "ip -br address; exit 7")
        assert ran.returncode == 7
        assert f"{SERVER}/24" in ran.stdout

    def test_join_puts_the_key_on_every_hypervisor_for_root_alone(self, lab: Lab, tmp_path: Path) -> None:
        key = tmp_path / "join.json"
        key.write_text('{"version": 1}')
        assert self.script(lab, "join", str(key)).returncode == 0
        for hypervisor in lab.hypervisors:
            assert hypervisor.run("cat", "/etc/virshmanager/join.json") == '{"version": 1}'
            assert hypervisor.run("stat", "-c%a", "/etc/virshmanager/join.json").strip() == "600"

    def test_up_shows_the_lab_and_down_ends_it(self) -> None:
        with subprocess.Popen([SCRIPT, "up", "--publish", "0"], stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            shown = "".join(iter(owner.stdout.readline, "Ctrl-C ends the lab.\n"))
            assert "10.78.9.13" in shown
            [folder] = scratch_root().glob(f"vm{owner.pid}-*-lab")
            subprocess.run([str(SCRIPT), "--lab", folder.name, "down"], check=True, timeout=60)
            assert traces_of(folder) == []
            assert owner.wait(timeout=10) == 0
