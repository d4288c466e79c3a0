"""The simulated network: hosts with identities of their own, others beside them, and nothing left behind."""

import base64
import json
import os
import secrets
import signal
import socket
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import libvirt
import psutil
import pytest
from pytest_django import Settings

from discovery.services import create_range
from hosts import services, trust
from hosts.identify import Identity, Stranger, identify
from tests.lab.machine import wait_for
from tests.simulator.playing import FOREIGN, HYPERVISORS, NETWORK, OTHER, Simulation, refused, simulation

STOP_SECONDS = 5
TWO_PARTS = ("--hosts", "251", "--domains", "1")
WIDE = "127.0.78.0/23"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    with simulation(tmp_path_factory.mktemp("demo")) as played:
        yield played


def identity(address: str, port: int) -> Identity:
    answer = identify(address, port, client=None)
    assert isinstance(answer, Identity), answer
    return answer


def written(folder: Path, key: dict[str, object]) -> Path:
    path = folder / "join.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(key))
    return path


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--network", "10.78.0.0/28"], "must lie in 127.0.0.0/8"),
            (["--network", "127.0.78.0/28", "--hosts", "15"], "too small"),
            (["--hosts", "0"], "at least one hypervisor"),
            (["--foreign", "-1"], "no negative number"),
            (["--hung", "-1"], "no negative number"),
            (["--hosts", "3", "--hung", "2", "--refusing", "1"], "at least one of the hosts must answer"),
            (["--domains", "40-10"], "the least and the most"),
            (["--join-file", "/nonexistent"], "no file /nonexistent"),
        ],
    )
    def test_a_wrong_argument_is_named(self, tmp_path: Path, arguments: list[str], words: str) -> None:
        status, line = refused(tmp_path, *arguments)
        assert status == 2
        assert words in line

    def test_a_port_that_is_taken_is_named(self, tmp_path: Path) -> None:
        with socket.create_server((HYPERVISORS[2], 0)) as taken:
            port = taken.getsockname()[1]
            status, line = refused(tmp_path, port=port)
        assert status == 1
        assert line == f"simulator: cannot listen on {HYPERVISORS[2]} port {port}: Address already in use"

    def test_a_foreign_services_port_that_is_taken_is_named(self, tmp_path: Path) -> None:
        with socket.create_server((FOREIGN, 0)) as taken:
            port = taken.getsockname()[1]
            status, line = refused(tmp_path, port=port)
        assert (status, FOREIGN in line) == (1, True)


class TestNetwork:
    def test_six_hypervisors_prove_identities_of_their_own(self, demo: Simulation) -> None:
        identities = [identity(address, demo.port) for address in HYPERVISORS]
        assert len({found.uuid for found in identities}) == 6
        assert len({found.public_key_sha256 for found in identities}) == 6
        assert {found.state for found in identities} == {"unclaimed"}

    def test_a_foreign_service_speaks_something_else(self, demo: Simulation) -> None:
        assert identify(FOREIGN, demo.port, client=None) == Stranger("not_tls")

    def test_the_others_refuse(self, demo: Simulation) -> None:
        assert identify(OTHER, demo.port, client=None) == Stranger("refused")


class TestHosts:
    def states(self, folder: Path) -> list[int]:
        """The state of every domain of all hosts (virDomainState)."""
        nodes = sorted(folder.glob("hv-*/node.xml"))
        connections = [libvirt.open(f"test://{node}") for node in nodes]
        domains = [domain for connection in connections for domain in connection.listAllDomains()]
        assert len({domain.UUIDString() for domain in domains}) == len(domains)
        assert len({domain.name() for domain in domains}) == len(domains)
        return [domain.state()[0] for domain in domains]

    def test_at_least_sixty_domains_in_mixed_states(self, tmp_path: Path) -> None:
        with simulation(tmp_path):
            states = self.states(tmp_path)
        assert len(states) >= 60
        wanted = {libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_SHUTOFF}
        assert set(states) == wanted

    def test_a_restart_gives_the_same_hosts(self, tmp_path: Path) -> None:
        def played() -> list[object]:
            with simulation(tmp_path) as simulated:
                keys = [identity(address, simulated.port).public_key_sha256 for address in HYPERVISORS]
            return [keys, *(node.read_text() for node in sorted(tmp_path.glob("hv-*/node.xml")))]

        assert played() == played()

    def test_two_folders_give_the_same_domains_and_other_keys(self, tmp_path: Path) -> None:
        def played(name: str) -> tuple[list[str], set[str]]:
            with simulation(tmp_path / name) as simulated:
                keys = {identity(address, simulated.port).public_key_sha256 for address in HYPERVISORS}
            return [node.read_text() for node in sorted((tmp_path / name).glob("hv-*/node.xml"))], keys

        (domains, keys), (same_domains, other_keys) = played("one"), played("two")
        assert domains == same_domains
        assert not keys & other_keys


class TestJoinKey:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, settings: Settings) -> None:
        settings.VIRSHMANAGER_HOME = tmp_path / "home"
        settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)

    def test_every_host_gets_its_own_private_copy(self, tmp_path: Path) -> None:
        key_id = uuid.uuid4()
        key = {
            "version": 1,
            "key_id": str(key_id),
            "secret": base64.b64encode(secrets.token_bytes(32)).decode(),
            "ca": trust.ca().pem,
            "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        }
        with simulation(tmp_path / "hosts", "--join-file", str(written(tmp_path, key))) as simulated:
            offered = [identity(address, simulated.port).enrol for address in HYPERVISORS]
        assert offered == [(key_id,)] * 6
        copies = sorted((tmp_path / "hosts").glob("hv-*/join.json"))
        assert [copy.stat().st_mode & 0o777 for copy in copies] == [0o600] * 6

    @pytest.mark.usefixtures("redis_server")
    @pytest.mark.django_db(transaction=True)
    def test_hosts_that_joined_stay_owned_and_want_no_key_again(self, tmp_path: Path) -> None:
        create_range(cidr=NETWORK)
        _row, key = services.create_join_key(label="Demo")
        join_file, folder = written(tmp_path, key), tmp_path / "hosts"
        address = HYPERVISORS[0]
        with simulation(folder, "--join-file", str(join_file)) as simulated:
            meeting = services.meet(address, simulated.port, identity(address, simulated.port))
            assert meeting.outcome == "owned", meeting
        with simulation(folder, "--join-file", str(join_file)) as simulated:
            again = identify(address, simulated.port, client=trust.server_identity())
            assert isinstance(again, Identity), again
            assert (again.state, again.owned_by_us) == ("owned", True)
            assert identity(HYPERVISORS[1], simulated.port).state == "unclaimed"
        assert not (folder / "hv-01" / "join.json").exists()
        assert (folder / "hv-02" / "join.json").exists()


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_stops_with_all_its_parts(self, tmp_path: Path, number: signal.Signals) -> None:
        with simulation(tmp_path, *TWO_PARTS, network=WIDE) as simulated:
            parts = simulated.parts()
            assert len(parts) == 2
            with socket.create_connection((HYPERVISORS[0], simulated.port)):
                simulated.process.send_signal(number)
                assert simulated.process.wait(STOP_SECONDS) == 0
            assert not [part for part in parts if part.is_running()]

    def test_ctrl_c_reaches_the_whole_group(self, tmp_path: Path) -> None:
        with simulation(tmp_path) as simulated:
            os.killpg(simulated.pid, signal.SIGINT)
            assert simulated.process.wait(STOP_SECONDS) == 0
            assert simulated.process.stderr
            assert simulated.process.stderr.read() == ""

    def test_a_fleet_that_lost_a_part_ends(self, tmp_path: Path) -> None:
        with simulation(tmp_path, *TWO_PARTS, network=WIDE) as simulated:
            lost, other = simulated.parts()
            lost.kill()
            assert simulated.process.wait(STOP_SECONDS) == 1
            assert not other.is_running()

    def test_no_part_outlives_a_killed_parent(self, tmp_path: Path) -> None:
        with simulation(tmp_path) as simulated:
            parts = simulated.parts()
            simulated.process.kill()
            _gone, alive = psutil.wait_procs(parts, timeout=STOP_SECONDS)
            assert not alive


def test_some_hosts_hang_and_some_refuse(tmp_path: Path) -> None:
    with simulation(tmp_path, "--hosts", "3", "--hung", "1", "--refusing", "1") as played:
        well, refusing, hung = HYPERVISORS[:3]
        identity(well, played.port)
        down = identify(refusing, played.port, client=None)
        assert isinstance(down, Stranger)
        assert down.reason == "refused"
        silent = identify(hung, played.port, client=None)
        assert isinstance(silent, Stranger)
        assert silent.reason == "too_slow"


def test_domains_change_while_it_is_switched_on(tmp_path: Path) -> None:
    with simulation(tmp_path, "--hosts", "2", "--domains", "5", "--events", "100") as played:
        notes = tmp_path / "events-0.log"
        assert not notes.exists()
        played.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: notes.exists() and len(notes.read_text().splitlines()) > 5, "domains change")
        played.process.send_signal(signal.SIGUSR1)
        uuid.UUID(notes.read_text().split()[0])
