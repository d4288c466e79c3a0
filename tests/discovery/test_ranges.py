"""Ranges: what cannot be one, and which range an address belongs to."""

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from discovery import services
from discovery.choices import DEFAULT_SCHEDULE, CrawlState, Kind, Phase
from discovery.errors import BadRange, RangeDisabled, RangeTooLarge
from discovery.models import Address, Crawl, Range
from discovery.networks import pack
from discovery.services.targets import own_addresses, targets
from hosts import guards

MakeRange = Callable[..., Range]

pytestmark = pytest.mark.django_db


def a_row(range_: Range, ip: str, kind: Kind = Kind.OTHER, **fields: Any) -> Address:
    packed = pack(ipaddress.ip_address(ip))
    return Address.objects.create(range=range_, ip=ip, packed=packed, kind=kind, **fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cidr", "10.0.0.0/8"),
        ("cidr", "10.0.0.1 --script=x"),
        *[("port", port) for port in (0, 65536, -1, "16510", "22 -oN x", True, None)],
        *[("max_rate", rate) for rate in (0, -1, 10**8, "5000", 1.5)],
        *[("excluded", [block]) for block in ("nonsense", "10.79.0.1", "-iL x", "10.78.0.1/24", None)],
        ("excluded", ["10.78.0.1"] * 1001),
        *[("schedule", schedule) for schedule in ({"weekly": 60}, {"full": 0}, {"full": "60"}, [1])],
    ],
)
def test_a_wrong_field_is_refused_by_its_name(make_range: MakeRange, field: str, value: object) -> None:
    with pytest.raises(BadRange) as refused:
        make_range(**({"cidr": "10.78.0.0/24"} | {field: value}))
    assert refused.value.field == field
    assert refused.value.message_dict == {field: [str(refused.value)]}
    assert not Range.objects.exists()


def test_the_same_block_is_refused_however_it_is_written(make_range: MakeRange) -> None:
    make_range("10.78.0.0/24")
    with pytest.raises(BadRange, match="already"):
        make_range("10.78.0.0/255.255.255.0")


def test_the_block_of_a_range_cannot_change(make_range: MakeRange) -> None:
    range_ = make_range("10.78.0.0/24")
    with pytest.raises(BadRange):
        services.update_range(range_, cidr="10.78.1.0/24")
    with pytest.raises(RangeTooLarge):
        services.update_range(range_, cidr="10.0.0.0/8")
    assert services.update_range(range_, cidr="10.78.0.0/24", label="lab").label == "lab"


def test_a_range_has_its_defaults() -> None:
    range_ = services.create_range(cidr="10.78.0.0/24", excluded=["10.78.0.9", "10.78.0.9/32"])
    assert (range_.port, range_.max_rate, range_.enabled) == (16510, 5000, True)
    assert range_.schedule == DEFAULT_SCHEDULE
    assert range_.excluded == ["10.78.0.9/32"]
    assert not range_.crawls.exists()


def test_a_phase_left_out_keeps_its_period(make_range: MakeRange) -> None:
    range_ = services.update_range(make_range(schedule={"full": 60, "probe": None}), schedule={"probe": 30})
    assert range_.schedule == DEFAULT_SCHEDULE | {"full": 60, "probe": 30}


def test_nothing_may_be_dialled_but_in_an_enabled_range(make_range: MakeRange) -> None:
    assert not guards.may_dial("10.78.0.1")
    range_ = make_range("10.78.0.0/24", excluded=["10.78.0.8/29"])
    assert guards.may_dial("10.78.0.1")
    for ip in ("10.78.0.9", "10.78.1.1", "::ffff:10.78.0.1", "fe80::1%eth0", "nonsense", ""):
        assert not guards.may_dial(ip)
    make_range("fd00::/112")
    assert guards.may_dial("fd00::1")
    assert not guards.may_dial("fd00::1%eth0")
    services.update_range(range_, enabled=False)
    assert not guards.may_dial("10.78.0.1")


def test_what_one_range_excludes_no_other_range_asks(make_range: MakeRange) -> None:
    make_range("10.78.0.0/16", excluded=["10.78.0.5"])
    narrow = make_range("10.78.0.0/28")
    assert not guards.may_dial("10.78.0.5")
    assert int(ipaddress.ip_address("10.78.0.5")) not in own_addresses(narrow)


def test_a_disabled_range_is_not_crawled_and_what_runs_ends(make_range: MakeRange) -> None:
    range_ = make_range()
    crawl = services.request_crawl(range_, Phase.FULL, here=True)
    services.update_range(range_, enabled=False)
    crawl.refresh_from_db()
    assert crawl.state == CrawlState.CANCELLED
    with pytest.raises(RangeDisabled):
        services.request_crawl(range_, Phase.FULL)


def test_a_range_that_was_switched_off_a_moment_ago_is_not_crawled(make_range: MakeRange) -> None:
    range_ = make_range()
    Range.objects.update(enabled=False)
    assert range_.enabled
    with pytest.raises(RangeDisabled):
        services.request_crawl(range_, Phase.FULL)
    assert not Crawl.objects.exists()


class TestOverlap:
    def test_an_address_belongs_to_the_narrowest(self, make_range: MakeRange) -> None:
        wide, narrow = make_range("10.78.0.0/16"), make_range("10.78.0.0/24")
        narrowest = make_range("10.78.0.0/28")
        parts = [set(own_addresses(range_)) for range_ in (wide, narrow, narrowest)]
        assert [len(part) for part in parts] == [65536 - 256, 256 - 16, 16]
        assert not parts[0] & parts[1]
        assert not parts[1] & parts[2]

    def test_a_disabled_range_takes_nothing_away(self, make_range: MakeRange) -> None:
        wide = make_range("10.78.0.0/24")
        make_range("10.78.0.0/28", enabled=False)
        assert len(own_addresses(wide)) == 256

    def test_known_addresses_follow(self, make_range: MakeRange) -> None:
        wide = make_range("10.78.0.0/24")
        inside, outside = a_row(wide, "10.78.0.1"), a_row(wide, "10.78.0.99")

        def owners() -> list[Range]:
            inside.refresh_from_db()
            outside.refresh_from_db()
            return [inside.range, outside.range]

        narrow = make_range("10.78.0.0/28")
        assert owners() == [narrow, wide]
        services.update_range(narrow, enabled=False)
        assert owners() == [wide, wide]
        services.update_range(narrow, enabled=True)
        narrow.delete()
        assert owners() == [wide, wide]
        wide.delete()
        assert not Address.objects.exists()


class TestTargets:
    def test_each_phase_asks_its_own(self, make_range: MakeRange) -> None:
        range_ = make_range("10.78.0.0/28", excluded=["10.78.0.15"])
        base = int(range_.network[0])
        a_row(range_, "10.78.0.1", Kind.HYPERVISOR)
        a_row(range_, "10.78.0.2", Kind.OTHER)
        a_row(range_, "10.78.0.3", Kind.FOREIGN)
        asked = {
            phase: {ip - base for ip in targets(range_, phase, range_.network)} for phase in Phase.values
        }
        assert asked["full"] == set(range(15))
        assert asked["new"] == {0, *range(4, 15)}
        assert asked["recheck"] == {2, 3}

    def test_ipv6(self, make_range: MakeRange) -> None:
        range_ = make_range("2001:db8::/112")
        a_row(range_, "2001:db8::7")
        assert len(targets(range_, Phase.NEW, range_.network)) == 65535
        assert list(targets(range_, Phase.RECHECK, range_.network)) == [int(range_.network[7])]

    def test_a_sixteen_is_cut_and_parts_without_targets_are_left_out(self, make_range: MakeRange) -> None:
        range_ = make_range("10.78.0.0/16", excluded=["10.78.32.0/19"])
        full = services.request_crawl(range_, Phase.FULL, here=True)
        assert full.chunks.count() == 7
        assert full.total == 65536 - 8192
        a_row(range_, "10.78.200.1")
        recheck = services.request_crawl(range_, Phase.RECHECK, here=True)
        assert [chunk.network for chunk in recheck.chunks.all()] == ["10.78.192.0/19"]
        assert recheck.total == 1


class TestWhatIsShown:
    def test_counts(self, make_range: MakeRange) -> None:
        range_ = make_range("10.78.0.0/28", excluded=["10.78.0.15"])
        a_row(range_, "10.78.0.2", Kind.OTHER)
        a_row(range_, "10.78.0.3", Kind.FOREIGN)
        assert services.counts(range_) == {"hypervisors": 0, "foreign": 1, "others": 1, "silent": 13}

    def test_counts_of_all_ranges_cost_two_queries(
        self, make_range: MakeRange, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        ranges = [make_range(f"10.78.{number}.0/24") for number in range(5)]
        with django_assert_num_queries(2):
            assert services.counts_of(ranges)[ranges[0].pk]["silent"] == 256

    def test_the_map_has_one_byte_for_each_address(self, make_range: MakeRange) -> None:
        range_ = make_range("10.78.0.0/28", excluded=["10.78.0.15"])
        make_range("10.78.0.8/31")
        a_row(range_, "10.78.0.2", Kind.OTHER)
        a_row(range_, "10.78.0.3", Kind.FOREIGN)
        a_row(range_, "10.78.0.4", Kind.HYPERVISOR)
        assert services.address_grid(range_) == b"..ofh...xx.....x"
