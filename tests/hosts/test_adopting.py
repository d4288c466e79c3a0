"""Adopting on the page and by the command; what the daemon says to it is in tests/contract."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from hosts.management.commands.adopt import find

from .factories import a_host

pytestmark = pytest.mark.django_db


def test_a_code_that_cannot_be_one_is_refused_at_its_field_and_not_sent_back(browser: Client) -> None:
    host = a_host(trust="found")
    answer = browser.post(f"/hosts/{host.pk}/adopt/", {"code": "S3CRETWORD9"})
    assert answer.status_code == 422
    assert "A code has ten letters and digits" in answer.content.decode()
    assert "S3CRETWORD9" not in answer.content.decode()


def test_an_address_outside_all_ranges_is_not_dialled(browser: Client) -> None:
    answer = browser.post(f"/hosts/{a_host(trust='found').pk}/adopt/", {"code": "VWXYZ-98765"})
    assert answer.status_code == 422
    assert "lies in no enabled range" in answer.content.decode()
    assert "VWXYZ-98765" not in answer.content.decode()


def test_only_a_host_without_an_owner_offers_it(browser: Client) -> None:
    for trust, offered in (("owned", False), ("found", True), ("pending", True), ("retired", True)):
        host = a_host(trust=trust)
        page = browser.get(f"/hosts/{host.pk}/").content.decode()
        assert (f"/hosts/{host.pk}/adopt/" in page) == offered


def test_the_command_takes_the_code_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    host = a_host(trust="found")
    monkeypatch.setattr("sys.stdin", io.StringIO("nonsense\n"))
    with pytest.raises(CommandError, match="ten letters and digits") as caught:
        call_command("adopt", str(host.pk))
    assert caught.value.returncode == 2


def test_a_host_is_found_by_id_name_and_address() -> None:
    host = a_host(hostname="hv-01", address="192.0.2.7")
    a_host(hostname="hv-02", address="192.0.2.8")
    assert [find(name) for name in (str(host.pk), "hv-01", "192.0.2.7")] == [host] * 3
    with pytest.raises(CommandError, match="No host"):
        find("192.0.2.9")
    a_host(hostname="hv-01", address="192.0.2.9")
    with pytest.raises(CommandError, match="by its id"):
        find("hv-01")
