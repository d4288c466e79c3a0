"""Argument injection: nothing that a person types becomes a part of nmap's command line or of its targets."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from discovery import scanner, services
from discovery.errors import ScanFailed
from discovery.models import Crawl, Range
from discovery.services.targets import targets

from .conftest import Watch

pytestmark = [pytest.mark.attack("Command-line injection"), pytest.mark.django_db]

NETWORK: Final = "192.0.2.0/24"
TEXTS: Final = [
    "-iL /etc/passwd",
    "-iR 10",
    "--script=http-vuln",
    "-oN /tmp/written",
    "--",
    "192.0.2.0/24 --script=x",
    "192.0.2.0/24\n198.51.100.0/24",
    "192.0.2.0/24\r\n-oN x",
    "192.0.2.0/24\t198.51.100.7",
    "192.0.2.0/24\x00",
    "192.0.2.0/24\x0b198.51.100.7",
    "192.0.2.0/24\u2028198.51.100.7",
    "192.0.2.0/24,198.51.100.0/24",
    "192.0.2.0/24;id",
    "192.0.2.0/24|id",
    "192.0.2.0/24&id",
    "$(id)",
    "`id`",
    "192.0.2.0/24#x",
    "192.0.2.1-20",
    "192.0.2.*",
    "192.0.2.0/255.255.255.0/24",
    "host.example/24",
    "192.0.2.0/24%eth0",
    "fe80::%eth0/120",
    "192.0.2.0/-1",
    "192.0.2.0/1e1",
    "\uff11\uff19\uff12.0.2.0/24",
    "@/etc/passwd",
]
NUMBERS: Final = ["22 -oN x", "--script", "1-65535", "T:22", "22,23", "0", "-1", "9" * 20, "0x16", "2 2"]


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_as_a_network(api: APIClient, browser: Client, watch: Watch, text: str) -> None:
    assert api.post("/api/ranges/", {"cidr": text}, format="json").status_code == 400
    assert browser.post("/discovery/ranges/add/", {"cidr": text}).status_code == 422
    with pytest.raises((CommandError, ValueError)):
        call_command("range", "add", "--", text)
    assert not Range.objects.exists()
    assert not watch.started


def test_as_what_is_left_alone(api: APIClient, record_property: Callable[[str, object], None]) -> None:
    """An exclusion that is misread is a host that gets packets."""
    record_property("tried", len(TEXTS))
    for text in TEXTS:
        body = {"cidr": NETWORK, "excluded": [text]}
        assert api.post("/api/ranges/", body, format="json").status_code == 400, text
    assert not Range.objects.exists()


@pytest.mark.parametrize("field", ["port", "max_rate"])
def test_as_a_number(
    api: APIClient, browser: Client, field: str, record_property: Callable[[str, object], None]
) -> None:
    record_property("tried", 2 * len(NUMBERS))
    for text in NUMBERS:
        body = {"cidr": NETWORK, field: text}
        assert api.post("/api/ranges/", body, format="json").status_code == 400, text
        assert browser.post("/discovery/ranges/add/", body).status_code == 422, text
    assert not Range.objects.exists()


@pytest.mark.parametrize("phase", ["full --script=x", "-oN", "full\n", "", "FULL", ["full", "-oN"]])
def test_as_a_phase(api: APIClient, watch: Watch, phase: object) -> None:
    range_ = services.create_range(cidr=NETWORK)
    assert api.post(f"/api/ranges/{range_.pk}/crawl/", {"phase": phase}, format="json").status_code == 400
    assert not Crawl.objects.exists()
    assert not watch.started


# Python reads a zone as none, so that this is a network after all.
@pytest.mark.parametrize("text", sorted({*TEXTS} - {"fe80::%eth0/120"}), ids=repr)
def test_as_a_network_that_was_written_into_the_database(text: str, watch: Watch) -> None:
    """Also past all forms: a restored backup, an administrator with psql."""
    range_ = Range(cidr=text)
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits"):
        targets(range_, "full", range_.network)
    assert not watch.started


def test_the_command_line_is_made_of_constants_and_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nmap = tmp_path / "nmap"
    nmap.write_text("#!/bin/sh\nexit 3\n")
    nmap.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with Watch() as watch, pytest.raises(ScanFailed):
        scanner.run([ipaddress.ip_network(NETWORK)], port=16510, max_rate=7)
    [command] = watch.started
    words = {*scanner.COMMAND, *scanner.COMMON, *scanner.PRIVILEGED, *scanner.UNPRIVILEGED}
    words |= {"-p16510", "-PS16510", "-PS80,443,16510", "--max-rate", "--min-rate", "7", "-oX"}
    assert [word for word in command if word not in words and not word.startswith("/proc/self/fd/")] == []
