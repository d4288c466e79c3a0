"""The event stream on a real socket: what it says first, what follows, and what it is asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import libvirt
import pytest
import wires
from authority import Authority, Pair
from doors import Host, World, until
from hypervisors import RUNNING, answers, domain_xml, eventually, fleet, uuid_of
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from virshmanagerd import outbox, sampler
from virshmanagerd.driver import Driver, bulk, samples
from virshmanagerd.errors import HypervisorBusy
from virshmanagerd.handlers import events as events_handler
from virshmanagerd.lane import Lane

PATH = "/v1/events"
COUNTERS = {"rd_bytes": 7, "wr_bytes": 5, "rd_reqs": 3, "wr_reqs": None}


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.server()


@pytest.fixture
def host(world: World, authority: Authority) -> Iterator[Host]:
    """An owned host with one running domain, and one that is off."""
    config = world.config()
    uri = fleet(config.state_dir.parent, domain_xml("on", state=RUNNING), domain_xml("off"))
    host = world.owned(authority, dataclasses.replace(config, uri=uri))
    driver = host.daemon.driver
    driver.start()
    eventually(lambda: answers(driver))
    yield host
    driver.stop()


@contextlib.contextmanager
def events(host: Host, pair: Pair, after: str = "") -> Iterator[ClientConnection]:
    with wires.client(host, pair, f"{PATH}?after={after}") as client:
        yield client


def read(client: ClientConnection) -> Any:
    return json.loads(client.recv(5))


def domain(host: Host, name: str) -> libvirt.virDomain:
    return host.daemon.driver._link.session().connection.lookupByName(name)


def test_hello_tells_where_the_listing_stands(host: Host, pair: Pair) -> None:
    with events(host, pair) as client:
        hello = read(client)
    assert hello == {
        "type": "hello",
        "epoch": host.get("/v1/domains", pair).json["event_epoch"],
        "seq": 2,
        "journal_id": host.get("/v1/host", pair).json["journal_id"],
        "replayed": False,
    }


def test_what_happens_is_told_to_all_alike(host: Host, pair: Pair) -> None:
    with events(host, pair) as one, events(host, pair) as two:
        hello = read(one)
        assert read(two) == hello
        domain(host, "off").create()
        told = read(one)
        assert read(two) == told
    listed = {row["name"]: row for row in host.get("/v1/domains", pair).json["domains"]}
    assert told == {
        "type": "domain.lifecycle",
        "epoch": hello["epoch"],
        "seq": hello["seq"] + 1,
        "uuid": uuid_of("off"),
        "event": "started",
        "detail": "booted",
        "domain": listed["off"],
    }


def test_what_was_missed_is_repeated(host: Host, pair: Pair) -> None:
    with events(host, pair) as client:
        hello = read(client)
    domain(host, "off").create()
    domain(host, "off").destroy()
    until(lambda: host.daemon.outbox._seq == hello["seq"] + 2)
    with events(host, pair, f"{hello['epoch']}:{hello['seq']}") as client:
        assert read(client)["replayed"] is True
        assert [read(client)["event"] for _ in range(2)] == ["started", "stopped"]
        domain(host, "off").create()
        assert read(client)["seq"] == hello["seq"] + 3


def test_another_connection_to_libvirt_begins_anew(host: Host, pair: Pair) -> None:
    with events(host, pair) as client:
        hello, link = read(client), host.daemon.driver._link
        link.drop(link.session(), "it broke")
        down, up, resync = (read(client) for _ in range(3))
    assert (down["type"], down["detail"], down["epoch"]) == ("libvirt.down", "it broke", hello["epoch"])
    assert (up["type"], up["seq"]) == ("libvirt.up", 1)
    assert (resync["type"], resync["seq"]) == ("resync", 2)
    assert up["epoch"] == resync["epoch"] == host.daemon.driver.event_epoch != hello["epoch"]


def test_who_does_not_read_is_sent_away(host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_UNSENT", 100_000)
    with wires.Raw(host, pair, PATH) as raw:
        for _ in range(200):
            host.daemon.outbox.publish("host.changed", padding="x" * 50_000)
        assert not host.daemon.outbox._subscribers
        assert raw.closing() == outbox.TOO_SLOW


def test_who_has_gone_is_forgotten(host: Host, pair: Pair) -> None:
    with events(host, pair) as client:
        read(client)
    until(lambda: not host.daemon.outbox._subscribers)


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[" * 60_000,
        "[]",
        b"\xff",
        *(
            json.dumps({"type": "stats", "seconds": seconds})
            for seconds in (1, 301, -2, 2.5, True, "2", None)
        ),
        '{"type": "stats"}',
        *(json.dumps({"type": "list", "id": number}) for number in (-1, 2**40, 1.5, True, "1", None)),
        '{"type": "list"}',
    ],
)
def test_what_is_not_understood(host: Host, pair: Pair, frame: str | bytes) -> None:
    with events(host, pair) as client:
        read(client)
        client.send(frame)
        with pytest.raises(ConnectionClosed):
            client.recv(5)
        assert client.close_code == 1008


def test_frames_of_another_type_are_ignored(host: Host, pair: Pair) -> None:
    with events(host, pair) as client:
        read(client)
        for frame in ({"type": "refresh"}, {"type": "of a newer server", "seconds": 9}, {}):
            client.send(json.dumps(frame))
        host.daemon.outbox.publish("host.changed")
        assert read(client)["type"] == "host.changed"


def test_a_listing_is_what_the_two_requests_are_answered(host: Host, pair: Pair) -> None:
    with events(host, pair) as client:
        read(client)
        client.send('{"type": "list", "id": 7}')
        told = read(client)
    described = host.get("/v1/host", pair).json
    assert told.keys() == {"type", "id", "host", "event_epoch", "domains"}
    assert (told["type"], told["id"]) == ("listing", 7)
    assert told["host"].keys() == described.keys()
    assert told["host"]["id"] == described["id"] == host.daemon.identity.id
    listed = host.get("/v1/domains", pair).json
    assert {"event_epoch": told["event_epoch"], "domains": told["domains"]} == listed


def test_a_listing_without_libvirt_says_so_in_place_of_the_domains(
    host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_driver: Driver) -> None:
        raise HypervisorBusy("stuck")

    monkeypatch.setattr(Driver, "domains", busy)
    with events(host, pair) as client:
        read(client)
        client.send('{"type": "list", "id": 1}')
        told = read(client)
    assert told.keys() == {"type", "id", "host", "problem"}
    assert (told["problem"]["type"], told["problem"]["detail"]) == ("hypervisor_busy", "stuck")


def test_a_defect_in_a_listing_ends_that_stream_alone(
    host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_driver: Driver) -> None:
        raise RuntimeError("a defect")

    with events(host, pair) as client, events(host, pair) as other:
        read(client), read(other)
        with monkeypatch.context() as broken:
            broken.setattr(Driver, "domains", fail)
            client.send('{"type": "list", "id": 1}')
            with pytest.raises(ConnectionClosed):
                client.recv(5)
            assert client.close_code == 1011
        other.send('{"type": "list", "id": 1}')
        assert read(other)["type"] == "listing"


def test_who_wants_too_many_listings_is_sent_away(
    host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_handler, "LISTING", Lane("none", threads=0, backlog=0))
    with events(host, pair) as client:
        read(client)
        client.send('{"type": "list", "id": 1}')
        with pytest.raises(ConnectionClosed):
            client.recv(5)
        assert client.close_code == 1013


def test_statistics_come_at_once_and_again_until_they_are_off(
    host: Host, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler.Sampler, "delay", lambda *_: 0.05)
    with events(host, pair) as client:
        read(client)
        client.send('{"type": "stats", "seconds": 2}')
        start, first, second = time.time(), read(client), read(client)
        client.send('{"type": "stats", "seconds": 0}')
        host.daemon.outbox.publish("host.changed")
        while read(client)["type"] != "host.changed":
            pass
        until(lambda: not host.daemon.sampler._busy)
        host.daemon.outbox.publish("resync")
        assert read(client)["type"] == "resync"
    assert first.keys() == {"type", "at", "domains", "host"}
    assert abs(first["at"] - start) < 5
    (sample,) = first["domains"]
    assert (sample["uuid"], sample["vcpus"], sample["memory"]) == (uuid_of("on"), 2, 32 * 2**20)
    assert second["domains"][0]["cpu_time_ns"] > sample["cpu_time_ns"]
    assert sample["memory_used"] is sample["block"]["rd_bytes"] is sample["net"]["tx_packets"] is None
    assert first["host"].keys() == {"cpu_time_ns", "cpus", "memory", "memory_free", "load"}


def test_one_sample_serves_all_who_wait(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, taken, real = threading.Event(), list[int](), Driver.samples

    def slow(driver: Driver) -> Any:
        taken.append(1)
        gate.wait(10)
        return real(driver)

    monkeypatch.setattr(Driver, "samples", slow)
    told: list[str] = []
    for _ in range(5):
        host.daemon.sampler.request(told.append)
    gate.set()
    until(lambda: len(told) == 5)
    assert len(set(told)) == len(taken) == 1


def test_a_libvirt_that_does_not_answer_is_asked_again_later(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for failure in (HypervisorBusy("stuck"), RuntimeError("a defect")):
        with monkeypatch.context() as broken:

            def fail(_driver: Driver, failure: Exception = failure) -> None:
                raise failure

            broken.setattr(Driver, "samples", fail)
            host.daemon.sampler.request(told.append)
            until(lambda: not host.daemon.sampler._busy)
    host.daemon.sampler.request(told.append)
    until(lambda: len(told) == 1)


@pytest.mark.parametrize("period", [2, 30, 300])
def test_samples_of_one_period_come_at_the_same_moments(host: Host, period: int) -> None:
    first = host.daemon.sampler.delay(period)
    assert sampler.SOON < first <= period + sampler.SOON
    moment = (time.monotonic() + first + host.daemon.sampler._offset) % period
    assert min(moment, period - moment) < 0.1


class Handle:
    """A domain of which libvirt says only what the test says."""

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return uuid_of("x")

    def info(self) -> list[int]:
        raise libvirt.libvirtError("it ended")


def sample_of(monkeypatch: pytest.MonkeyPatch, stats: dict[str, Any]) -> Any:
    found: Any = [(Handle(), {"state.state": RUNNING, **stats})]
    monkeypatch.setattr(bulk, "rows", lambda *_, **__: found)
    unused: Any = None
    (sample,) = samples.take(unused)
    return sample


def test_counters_are_summed_over_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_of(
        monkeypatch,
        {
            "cpu.time": 9,
            "block.count": 3,
            "block.0.rd.bytes": 3,
            "block.2.rd.bytes": 4,
            "block.0.wr.bytes": 5,
            "block.0.rd.reqs": 3,
            "net.count": 0,
            "balloon.current": 4,
            "balloon.available": 3,
            "balloon.unused": 1,
            "balloon.usable": 2,
        },
    )
    assert sample["block"] == COUNTERS
    assert sample["net"] == {"rx_bytes": 0, "tx_bytes": 0, "rx_packets": 0, "tx_packets": 0}
    assert (sample["memory"], sample["memory_used"], sample["cpu_time_ns"]) == (4096, 1024, 9)


def test_what_libvirt_does_not_say_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_of(monkeypatch, {})
    assert sample.pop("uuid") == uuid_of("x")
    assert set(sample.pop("block").values()) == set(sample.pop("net").values()) == {None}
    assert set(sample.values()) == {None}
