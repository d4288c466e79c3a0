"""The networks that other tests trust: they have the shape they claim, and they leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.networks import (
    Namespace,
    Segment,
    dense,
    foreign_https,
    ignore_ping,
    socket_in,
    sparse,
    ssh_server,
    tarpit,
)
from tests.networks.sweep import NETNS_FOLDER, owner_token, scratch_root, sweep

pytestmark = pytest.mark.network

PORT = 16510
PROJECT = Path(__file__).parents[2]


def namespaces_of(token: str) -> list[str]:
    return [path.name for path in NETNS_FOLDER.glob(f"{token}*")] if NETNS_FOLDER.is_dir() else []


def wait_until(condition: Callable[[], object], what: str, deadline: float = 10) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.02)


def nmap(network: Namespace, *arguments: str) -> str:
    return network.run("nmap", "-n", "-T5", "--max-retries", "1", "-oG", "-", *arguments).stdout


def ask(namespace: Namespace, address: str, port: int = PORT) -> socket.socket:
    connection = socket_in(namespace)
    connection.settimeout(5)
    connection.connect((address, port))
    return connection


class TestNothingIsLeftBehind:
    OWNER = """
import sys
from tests.networks import Namespace
with Namespace("left") as namespace:
    child = namespace.start("sleep", "600")
    print(namespace.name, child.pid, flush=True)
    sys.stdin.read()
"""

    def owner(self) -> tuple[subprocess.Popen[str], str, int]:
        owner = subprocess.Popen(
            [sys.executable, "-c", self.OWNER],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert owner.stdout is not None
        name, pid = owner.stdout.readline().split()
        return owner, name, int(pid)

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_by_an_owner_that_is_killed(self, how: signal.Signals) -> None:
        owner, name, child = self.owner()
        with owner:
            assert (NETNS_FOLDER / name).exists()
            owner.send_signal(how)
            owner.wait(timeout=10)
            wait_until(lambda: not (NETNS_FOLDER / name).exists(), "the namespace is gone")
            wait_until(lambda: not Path(f"/proc/{child}").exists(), "the process in it is gone")

    def test_by_an_exception(self) -> None:
        def fail_halfway() -> None:
            with Segment("10.78.0.0/24") as segment:
                segment.host("host", "10.78.0.1")
                assert len(namespaces_of(owner_token())) == 2
                raise RuntimeError("halfway")

        with pytest.raises(RuntimeError, match="halfway"):
            fail_halfway()
        assert namespaces_of(owner_token()) == []

    def test_a_sweep_takes_what_dead_owners_left_and_only_that(self) -> None:
        dead = "vm1-ffffffff-0-dead"  # pid 1 lives, but did not start at that time
        subprocess.run(["ip", "netns", "add", dead], check=True)
        folder = scratch_root() / dead
        folder.mkdir()
        with Namespace("alive") as alive:
            sweep()
            assert alive.path.exists()
        assert not (NETNS_FOLDER / dead).exists()
        assert not folder.exists()

    def test_names_carry_pid_and_start_time(self) -> None:
        with Namespace("host") as namespace:
            assert namespace.name.startswith(f"vm{os.getpid()}-")
            assert namespaces_of(owner_token()) == [namespace.name]


class TestShapes:
    @pytest.mark.parametrize("on_link", [False, True], ids=["routed", "on-link"])
    def test_dense_answers_for_every_address(self, *, on_link: bool) -> None:
        with dense("10.78.0.0/16", on_link=on_link) as network:
            found = nmap(network.scanner, "-sn", "--min-rate", "5000", "10.78.255.0/24")
            assert "(256 hosts up)" in found
            assert network.scanner.sent_packets() >= 256

    def test_sparse_is_silent_but_for_the_hosts(self) -> None:
        with sparse("10.78.0.0/16", up=("10.78.3.7", "10.78.3.9")) as network:
            found = nmap(network.scanner, "-sn", "--min-rate", "5000", "10.78.3.0/24")
            assert "(2 hosts up)" in found
            assert "10.78.3.7" in found

    def test_an_address_may_move_to_another_host(self) -> None:
        with Segment("10.78.0.0/24") as segment:
            scanner = segment.host("scanner", "10.78.0.250")
            old, new = segment.host("old", "10.78.0.1"), segment.host("new")
            segment.drop_address(old, "10.78.0.1")
            segment.add_address(new, "10.78.0.1")
            with tarpit(new, PORT):
                assert f"{PORT}/open" in nmap(scanner, f"-p{PORT}", "10.78.0.1")

    def test_an_address_outside_the_block_is_refused(self) -> None:
        with Segment("10.78.0.0/24") as segment, pytest.raises(ValueError, match="outside"):
            segment.host("host", "10.78.1.1")

    def test_a_thread_may_enter_and_is_back_home_afterwards(self) -> None:
        home = Path("/proc/thread-self/ns/net").readlink()
        with Namespace("host") as namespace:
            with namespace.entered():
                assert Path("/proc/thread-self/ns/net").readlink() != home
            assert Path("/proc/thread-self/ns/net").readlink() == home


class TestPeers:
    def test_a_host_may_ignore_ping_and_have_the_port_open(self) -> None:
        with Segment("10.78.0.0/24") as segment:
            scanner, host = segment.host("scanner", "10.78.0.250"), segment.host("host", "10.78.0.1")
            pinged = ("-sn", "-PE", "--disable-arp-ping", "10.78.0.1")
            assert "(1 host up)" in nmap(scanner, *pinged)
            ignore_ping(host)
            assert "(0 hosts up)" in nmap(scanner, *pinged)
            with tarpit(host, PORT):
                knocked = (f"-PS{PORT}", "--disable-arp-ping", f"-p{PORT}", "10.78.0.1")
                assert f"{PORT}/open" in nmap(scanner, *knocked)

    def test_a_tarpit_connects_and_is_silent(self) -> None:
        with Segment("10.78.0.0/24") as segment:
            host, asker = segment.host("host", "10.78.0.1"), segment.host("asker", "10.78.0.2")
            with tarpit(host, PORT), ask(asker, "10.78.0.1") as connection:
                connection.sendall(b"hello")
                connection.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    connection.recv(1)

    def test_a_foreign_https_server_answers_everything(self, tmp_path: Path) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with Segment("10.78.0.0/24") as segment:
            host, asker = segment.host("host", "10.78.0.1"), segment.host("asker", "10.78.0.2")
            with foreign_https(host, PORT, tmp_path), context.wrap_socket(ask(asker, "10.78.0.1")) as asked:
                asked.sendall(b"GET /.well-known/virshmanager HTTP/1.1\r\nHost: x\r\n\r\n")
                assert asked.recv(12) == b"HTTP/1.0 200"

    def test_an_ssh_server_greets(self, tmp_path: Path) -> None:
        with Segment("10.78.0.0/24") as segment:
            host, asker = segment.host("host", "10.78.0.1"), segment.host("asker", "10.78.0.2")
            with ssh_server(host, PORT, tmp_path), ask(asker, "10.78.0.1") as connection:
                assert connection.recv(8) == b"SSH-2.0-"
