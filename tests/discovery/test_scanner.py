"""The gate to nmap: what it refuses, how it fails, and what it finds on the loopback and in namespaces."""

import ipaddress
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discovery import scanner
from discovery.errors import CrawlEnded, ScanFailed
from tests.networks import Segment, dense, ignore_ping, tarpit

from .conftest import Listen, is_alive, wait_until

ONE = [ipaddress.ip_network("127.0.77.1/32")]
NETWORK = [ipaddress.ip_network("127.0.77.0/28")]
PROJECT = Path(__file__).parents[2]
FakeNmap = Callable[[str], None]
VERSION = 'case "$*" in *-V*) echo "Nmap version 7.93 ( https://nmap.org )"; exit;; esac'


def scan(networks: Any = NETWORK, *, port: int = 16510, **options: Any) -> scanner.Sweep:
    return scanner.run(networks, port=port, max_rate=options.pop("max_rate", None), **options).read()


def number(ip: str) -> int:
    return int(ipaddress.ip_address(ip))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "target",
        ["127.0.0.1", "127.0.0.1 --script=x", "-iL /etc/passwd", "127.0.0.1\n-oN x", 2130706433, None],
    )
    def test_targets_that_are_no_networks(self, target: object) -> None:
        with pytest.raises(TypeError):
            scan([target])

    @pytest.mark.parametrize("port", ["22", "22 -oN x", "1-65535", 0, -1, 65536, 2.0, True, None])
    def test_ports_that_are_no_ports(self, port: Any) -> None:
        with pytest.raises(ValueError, match="whole number"):
            scan(port=port)

    @pytest.mark.parametrize("rate", ["5000", "5000 --script=x", 0, -1, 1e9, True])
    def test_rates_that_are_no_rates(self, rate: Any) -> None:
        with pytest.raises(ValueError, match="whole number"):
            scan(max_rate=rate)

    def test_families_mixed(self) -> None:
        with pytest.raises(ValueError, match="one family"):
            scan([*ONE, ipaddress.ip_network("::1/128")])

    def test_no_part_of_the_command_line_comes_from_the_targets(
        self, fake_nmap: FakeNmap, tmp_path: Path
    ) -> None:
        fake_nmap(f'{VERSION}; echo "$@" > {tmp_path}/arguments; cat > {tmp_path}/targets; exit 3')
        with pytest.raises(ScanFailed):
            scan()
        assert "127.0.77" not in (tmp_path / "arguments").read_text()
        assert (tmp_path / "targets").read_text() == "127.0.77.0/28\n"


class TestFailures:
    def test_nmap_is_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ScanFailed) as failed:
            scan()
        assert failed.value.problem == "nmap_missing"

    @pytest.mark.parametrize(
        ("script", "problem"),
        [
            ("kill -9 $$", "nmap_killed"),
            ("echo 'Failed to open device eth9' >&2; echo QUITTING! >&2; exit 1", "nmap_failed"),
            ("exit 0", "nmap_garbage"),
            ("for f; do :; done; echo garbage > $f", "nmap_garbage"),
            ("for f; do :; done; echo '<nmaprun/>' > $f", "nmap_garbage"),
            ("for f; do :; done; head -c 100000 /dev/urandom > $f", "nmap_garbage"),
        ],
    )
    def test_nmap_fails(self, fake_nmap: FakeNmap, script: str, problem: str) -> None:
        fake_nmap(f"{VERSION}; {script}")
        with pytest.raises(ScanFailed) as failed:
            scan()
        assert failed.value.problem == problem

    def test_what_nmap_says_is_told_without_control_characters(self, fake_nmap: FakeNmap) -> None:
        fake_nmap(f"{VERSION}; printf 'no \\033[31mroute\\033[0m\\a\\n' >&2; echo QUITTING! >&2; exit 1")
        with pytest.raises(ScanFailed, match="no ") as failed:
            scan()
        assert failed.value.detail.isprintable()

    def test_nmap_hangs(self, fake_nmap: FakeNmap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(scanner, "SLACK_SECONDS", 0.3)
        fake_nmap(f"{VERSION}; echo $$ > {tmp_path}/pid; exec sleep 600")
        with pytest.raises(ScanFailed) as failed:
            scan()
        assert failed.value.problem == "nmap_timeout"
        assert not is_alive(int((tmp_path / "pid").read_text()))

    def test_it_is_cancelled_though_nmap_does_not_listen(
        self, fake_nmap: FakeNmap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(scanner, "STOP_SECONDS", 0.3)
        fake_nmap(f"{VERSION}; trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done")
        started = time.monotonic()
        with pytest.raises(CrawlEnded):
            scan(stopped=(tmp_path / "pid").exists)
        assert time.monotonic() - started < 5
        assert not is_alive(int((tmp_path / "pid").read_text()))

    def test_nmap_dies_with_a_process_that_is_killed(self, fake_nmap: FakeNmap, tmp_path: Path) -> None:
        fake_nmap(
            f"{VERSION}; echo $$ > {tmp_path}/draft; mv {tmp_path}/draft {tmp_path}/pid; exec sleep 600"
        )
        code = (
            "import ipaddress; from discovery import scanner;"
            "scanner.run([ipaddress.ip_network('127.0.77.1')], port=1, max_rate=None)"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT) as process:
            wait_until((tmp_path / "pid").exists, "nmap runs")
            process.kill()
        nmap = int((tmp_path / "pid").read_text())
        wait_until(lambda: not is_alive(nmap), "nmap is gone")

    def test_nothing_is_started_for_no_targets(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert scan([]) == scanner.NOTHING


class TestLoopback:
    def test_it_tells_open_ports_from_closed_ones(self, listen: Listen) -> None:
        port = listen("127.0.77.3")
        sweep = scan(port=port)
        assert sweep.open == {number("127.0.77.3")}
        assert sweep.closed == set(range(number("127.0.77.0"), number("127.0.77.15") + 1)) - sweep.open
        assert not sweep.filtered

    def test_ipv6(self, listen: Listen) -> None:
        port = listen("::1")
        assert scan([ipaddress.ip_network("::1/128")], port=port).open == {1}

    def test_only_what_was_asked_is_scanned(self, listen: Listen) -> None:
        port = listen("127.0.77.3")
        around = [ipaddress.ip_network(f"127.0.77.{last}") for last in (2, 4)]
        sweep = scan(around, port=port)
        assert sweep.open == set()
        assert sweep.closed == {number("127.0.77.2"), number("127.0.77.4")}

    @pytest.mark.skipif(os.geteuid() != 0, reason="to become nobody needs root")
    def test_without_root_it_connects(self, listen: Listen) -> None:
        port = listen("127.0.77.3")
        code = (
            "import ipaddress; from discovery import scanner;"
            f"output = scanner.run([ipaddress.ip_network('127.0.77.0/28')], port={port}, max_rate=5000);"
            "sweep = output.read(); print(sorted(sweep.open), len(sweep.closed), sweep.packets_sent)"
        )
        # A clone in root's home is read all the same.
        reads = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *reads]
        ran = subprocess.run(
            [*nobody, "--", sys.executable, "-c", code],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ran.stdout.split("\n")[0] == f"[{number('127.0.77.3')}] 15 0"

    @pytest.mark.skipif(os.geteuid() != 0, reason="raw packets need root")
    def test_packets_are_counted(self) -> None:
        assert scan().packets_sent == 16


@pytest.mark.network
class TestNamespaces:
    """A thread may stand in another namespace, and so does the nmap that it starts."""

    def test_a_host_that_drops_ping_is_found_by_its_port(self) -> None:
        with Segment("10.78.0.0/24") as segment:
            here, host = segment.host("scanner", "10.78.0.250"), segment.host("host", "10.78.0.1")
            ignore_ping(host)
            with tarpit(host, 16510), here.entered():
                assert scan([ipaddress.ip_network("10.78.0.0/28")]).open == {number("10.78.0.1")}

    def test_a_dense_segment_larger_than_the_neighbour_table(self) -> None:
        with dense("10.78.0.0/20", on_link=True) as network, network.scanner.entered():
            sweep = scan([network.block])
        assert len(sweep.closed) == 4096

    @pytest.mark.parametrize("rate", [500, 2000])
    def test_the_rate_is_kept(self, rate: int) -> None:
        with dense("10.78.0.0/22") as network, network.scanner.entered():
            started = time.monotonic()
            sweep = scan([network.block], max_rate=rate)
            seconds = time.monotonic() - started
        assert len(sweep.closed) == 1024
        assert sweep.packets_sent / seconds <= rate

    def test_ipv6_neighbours(self) -> None:
        with Segment("10.78.0.0/24") as segment:
            here, host = segment.host("scanner"), segment.host("host")
            here.ip("address add fd00:77::1/112 dev eth0 nodad")
            host.ip(
                "address add fd00:77::2/112 dev eth0 nodad", "address add fd00:77::1:2/112 dev eth0 nodad"
            )
            with here.entered():
                sweep = scan([ipaddress.ip_network("fd00:77::/120")])
        assert sweep.closed == {number("fd00:77::1"), number("fd00:77::2")}
