"""Networks as people write them, and sets of addresses."""

import ipaddress

import pytest

from discovery.errors import BadRange, RangeTooLarge
from discovery.networks import AddressSet, holders, ip_of, number_of, pack, parse_network, parse_range, span

NONSENSE = [
    *(
        "",
        " ",
        "nonsense",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0//24",
        "10.0.0/24",
        "10.0.0.256/32",
        "1e3",
        "/24",
    ),
    *(
        "10.0.0.1 --script=x",
        "-iL /etc/passwd",
        "10.0.0.0/24,10.0.1.0/24",
        "10.0.0.1-20",
        "10.0.0.0/24\n10.0.1.0/24",
    ),
    *(
        "010.0.0.1",
        "0x0a000001",
        "\uff11\uff10.0.0.1",
        "fe80::1%eth0",
        "fe80::1%eth0/128",
        "example.org",
        "x" * 1000,
    ),
    *("::1::", "2001:db8::/129", "[::1]/128", "$(id)", "10.0.0.0/24; id", "\x00", "10.0.0.0/24\x00"),
]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(BadRange) as refused:
        parse_network(text)
    assert refused.value.field == "cidr"
    assert str(refused.value)


@pytest.mark.parametrize("value", [None, 0, 167772160, b"10.0.0.0/24", ["10.0.0.0/24"], 1.5, True])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(BadRange):
        parse_network(value)


def test_host_bits_are_refused_and_the_network_is_named() -> None:
    with pytest.raises(BadRange, match=r"Write 192\.168\.1\.0/24"):
        parse_range("192.168.1.7/24")


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.0.0.0/15", "0.0.0.0/0", "2001:db8::/111", "::/0"])
def test_what_is_too_large_is_refused_with_the_limit(cidr: str) -> None:
    with pytest.raises(RangeTooLarge, match="at most a /1"):
        parse_range(cidr)


@pytest.mark.parametrize(
    "cidr",
    [
        "224.0.0.0/24",
        "255.255.255.255",
        "0.0.0.0/16",
        "ff02::/112",
        "::/128",
        "fe80::/112",
        "::ffff:10.0.0.0/112",
    ],
)
def test_what_holds_no_hosts_is_refused(cidr: str) -> None:
    with pytest.raises(BadRange):
        parse_range(cidr)


@pytest.mark.parametrize(
    ("text", "cidr"),
    [
        ("10.0.0.0/16", "10.0.0.0/16"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("2001:DB8:0::/112", "2001:db8::/112"),
        ("::1", "::1/128"),
    ],
)
def test_networks_are_written_in_one_way(text: str, cidr: str) -> None:
    assert str(parse_range(text)) == cidr


@pytest.mark.parametrize("ip", ["0.0.0.1", "10.78.0.1", "255.255.255.254", "::1", "2001:db8::ffff", "ff::"])
def test_packed_addresses_come_back(ip: str) -> None:
    address = ipaddress.ip_address(ip)
    assert len(pack(address)) == 16
    assert ip_of(number_of(pack(address)), address.version) == address


def test_packed_addresses_keep_their_order() -> None:
    addresses = [ipaddress.ip_address(f"10.{a}.0.{b}") for a in (0, 2, 10, 200) for b in (1, 9, 10, 255)]
    assert sorted(addresses, key=pack) == addresses


class TestAddressSet:
    def test_it_joins_what_touches(self) -> None:
        assert AddressSet([(5, 7), (1, 2), (3, 4), (7, 9)]).spans == [(1, 9)]

    @pytest.mark.parametrize(
        ("holes", "left"),
        [
            ([], [(10, 20)]),
            ([(0, 30)], []),
            ([(10, 20)], []),
            ([(10, 10)], [(11, 20)]),
            ([(20, 20)], [(10, 19)]),
            ([(12, 13), (15, 15)], [(10, 11), (14, 14), (16, 20)]),
            ([(0, 9), (21, 30)], [(10, 20)]),
        ],
    )
    def test_without(self, holes: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
        assert AddressSet([(10, 20)]).without(AddressSet(holes)).spans == left

    def test_it_agrees_with_python_sets(self) -> None:
        one, other = AddressSet([(0, 9), (20, 29), (40, 40)]), AddressSet([(5, 24), (40, 60)])
        assert set(one.without(other)) == set(one) - set(other)
        assert set(one.within(other)) == set(one) & set(other)
        assert len(one) == len(set(one))
        assert {number for number in range(70) if number in one} == set(one)

    def test_its_networks_hold_exactly_it(self) -> None:
        whole = ipaddress.ip_network("10.0.0.0/24")
        hole = ipaddress.ip_network("10.0.0.7/32")
        networks = AddressSet.of(whole).without(AddressSet([span(hole)])).networks()
        assert {ip for network in networks for ip in network} == set(whole) - set(hole)


@pytest.mark.parametrize("ip", ["10.78.3.7", "0.0.0.1", "255.255.255.254", "fd00::abcd"])
def test_the_holders_of_an_address_are_all_ranges_that_may_hold_it(ip: str) -> None:
    address = ipaddress.ip_address(ip)
    networks = [ipaddress.ip_network(cidr) for cidr in holders(address)]
    assert all(address in network for network in networks)
    assert sorted(network.num_addresses for network in networks) == [2**bits for bits in range(17)]
