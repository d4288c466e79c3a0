"""The owner gives a host up, over real TLS: who may, and what is left."""

from __future__ import annotations

import ssl

import pytest
from authority import HOUR, Authority
from doors import WELL_KNOWN, World, enrol, until

from virshmanagerd.daemon import Daemon
from virshmanagerd.driver import Driver

FORGET = "/v1/owner/forget"


def test_who_only_proves_a_join_key_has_nothing_to_give_up(world: World, authority: Authority) -> None:
    host = world.host(authority)
    with host.session(authority.server()) as session:
        session.join(authority)
    assert host.post(FORGET, {}, authority.server()).json["type"] == "not_owned"
    assert host.daemon.ownership.state == "enrolling"


def test_another_server_of_the_ca_may_not(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    assert host.post(FORGET, {}, authority.server("someone-else")).json["type"] == "not_owned"
    assert host.daemon.ownership.state == "owned"


def test_an_expired_server_may_not(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    with pytest.raises(ssl.SSLError, match="expired"):
        host.post(FORGET, {}, authority.server(start=-2 * HOUR, end=-HOUR))
    assert host.daemon.ownership.state == "owned"


def test_the_host_is_unclaimed_with_its_key_and_another_journal(world: World, authority: Authority) -> None:
    host, pair = world.owned(authority), authority.server()
    known, journal = host.daemon.identity.id, host.daemon.journal_id
    with host.session(pair) as idle, host.session(pair) as session:
        assert idle.request("GET", WELL_KNOWN).status == 200
        answer = session.request("POST", FORGET, b"{}")
        assert (answer.status, answer.json) == (200, {"state": "unclaimed"})
        assert answer.headers["Connection"] == "close"
        assert idle.ended()
    until(lambda: not world.engine._doors[host.daemon].connections())
    found = host.get(WELL_KNOWN).json
    assert (found["id"], found["state"]) == (known, "unclaimed")
    assert host.daemon.journal_id not in {None, journal}


def test_it_outlives_a_restart_and_the_host_can_be_owned_again(world: World, authority: Authority) -> None:
    host = world.owned(authority)
    host.post(FORGET, {}, authority.server())
    again = Daemon(host.daemon.config, Driver("test:///default"))
    assert again.ownership.state == "unclaimed"
    authority.drop(host.daemon.config.join_file)
    until(lambda: host.daemon.trust.terms.client_ca is not None)
    enrol(host, authority)
    assert host.daemon.ownership.state == "owned"
