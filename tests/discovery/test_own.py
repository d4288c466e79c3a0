"""The networks that the machine is in, as an empty installation offers them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from discovery import services
from tests.networks import Namespace, connect

pytestmark = pytest.mark.network


@pytest.fixture
def home() -> Iterator[Namespace]:
    """We stand in a namespace whose lan0 leads to another one."""
    with Namespace("home") as here, Namespace("neighbour") as there:
        connect(here, there, near_device="lan0")
        with here.entered():
            yield here


def test_loopback_links_that_are_down_and_points_are_left_out(home: Namespace) -> None:
    home.ip("address add 10.78.8.1/32 dev lan0", "address add 169.254.3.4/16 scope link dev lan0")
    assert services.own_networks() == []
    home.ip("address add 10.78.9.1/24 dev lan0", "link set lan0 down")
    assert services.own_networks() == []


def test_large_networks_are_offered_in_part(home: Namespace) -> None:
    home.ip(
        "address add 10.78.9.77/24 dev lan0",
        "address add 172.16.5.6/16 dev lan0",
        "address add 10.1.2.3/8 dev lan0",
    )
    assert set(services.own_networks()) == {
        ("10.78.9.0/24", "10.78.9.77", "lan0"),
        ("172.16.0.0/16", "172.16.5.6", "lan0"),
        ("10.1.2.0/24", "10.1.2.3", "lan0"),
    }


def test_a_machine_without_the_ip_command_offers_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        subprocess.run(["ip"], check=True)
    assert services.own_networks() == []
