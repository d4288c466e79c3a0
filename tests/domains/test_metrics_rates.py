"""From counters to rates: what is no rate first."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.choices import Kind
from domains.samples import NOT_A_NUMBER, UNKNOWN, Counters, HostCounters, Sample, pack, unpack
from domains.services.packing import find_in_block, pack_block, unpack_block
from domains.services.rates import domain_values, host_values, mean, seconds_between

HOST = HostCounters(80 * 10**9, 8, 2**34, 2**33, 1.5, 2.5, 3.5)
BEFORE = Counters(10**9, 2, 2**30, 2**29, 1000, 2000, 10, 20, 300, 400, 3, 4)
AFTER = Counters(11 * 10**9, 2, 2**30, 2**29, 3000, 6000, 30, 60, 900, 1200, 9, 12)
RATES = (50.0, 2.0**29, 200.0, 400.0, 2.0, 4.0, 60.0, 80.0)


def sample(at: float, received: float) -> Sample:
    return Sample(at, received, HOST, {})


@pytest.mark.parametrize(
    ("at", "received"),
    [
        (100, 130),  # the same message again
        (40, 130),  # the clock of the host was set back
        (3700, 130),  # and forward
        (118, 150),  # a little, which would make a rate of twice what it was
        (150, 130 + 3600),  # it was ours
        (250, 250),  # there was nothing for too long
        (100.1, 100.1),
    ],
)
def test_an_interval_that_cannot_be(at: float, received: float) -> None:
    assert seconds_between(sample(100, 100), sample(at, received)) is None


@pytest.mark.parametrize(("at", "received"), [(130, 130), (102, 108), (130.5, 121), (190, 190)])
def test_an_interval_is_measured_by_the_clock_of_the_host(at: float, received: float) -> None:
    assert seconds_between(sample(100, 100), sample(at, received)) == pytest.approx(at - 100)


def test_nothing_before_is_a_gap_but_memory_is_known() -> None:
    for before, seconds in ((None, 10.0), (BEFORE, None)):
        cpu, memory, *rates = domain_values(before, AFTER, seconds)
        assert memory == 2**29
        assert all(math.isnan(rate) for rate in (cpu, *rates))


def test_a_domain_that_was_started_anew_is_a_gap_even_where_it_has_counted_further() -> None:
    cpu, memory, *rates = domain_values(AFTER, AFTER._replace(cpu_time_ns=10**9, rd_bytes=10**12), 10)
    assert memory == 2**29
    assert all(math.isnan(rate) for rate in (cpu, *rates))


@pytest.mark.parametrize("value", [0, UNKNOWN])
def test_a_counter_that_went_back_is_a_gap_of_its_own(value: int) -> None:
    values = domain_values(BEFORE, AFTER._replace(rd_bytes=value), 10)
    assert math.isnan(values[2])
    assert values[:2] + values[3:] == RATES[:2] + RATES[3:]


def test_a_counter_that_jumped_is_a_gap() -> None:
    assert math.isnan(domain_values(BEFORE, AFTER._replace(rx_bytes=2**63 - 1), 10)[6])


def test_unknown_counters_are_gaps() -> None:
    nothing = Counters(*[UNKNOWN] * 12)
    for before, after in ((nothing, AFTER), (BEFORE, nothing), (nothing, nothing)):
        values = domain_values(before, after, 10)
        assert all(math.isnan(value) for value in (values[0], *values[2:]))
    assert math.isnan(domain_values(BEFORE, AFTER._replace(vcpus=0), 10)[0])


def test_rates_of_a_domain() -> None:
    assert domain_values(BEFORE, AFTER, 10) == RATES


def test_cpu_is_at_most_all_of_it() -> None:
    assert domain_values(BEFORE, AFTER._replace(cpu_time_ns=40 * 10**9), 10)[0] == 100


def test_memory_is_what_was_given_where_the_balloon_does_not_tell() -> None:
    assert domain_values(BEFORE, AFTER._replace(memory_used=UNKNOWN), 10)[1] == 2**30


def test_rates_of_a_host() -> None:
    after = HOST._replace(cpu_time_ns=100 * 10**9)
    assert host_values(HOST, after, 10) == (25.0, 2.0**33, 1.5, 2.5, 3.5)
    cpu, *rest = host_values(after, HOST, 10)
    assert math.isnan(cpu)
    assert rest == [2.0**33, 1.5, 2.5, 3.5]
    assert math.isnan(host_values(HOST, after._replace(memory_free=UNKNOWN), 10)[1])


def test_a_mean_leaves_gaps_out_and_keeps_the_highest() -> None:
    values = [(1.0, NOT_A_NUMBER, 5.0), (3.0, NOT_A_NUMBER, 9.0), (NOT_A_NUMBER, NOT_A_NUMBER, 7.0)]
    first, second, highest = mean(values)
    assert (first, highest) == (2.0, 9.0)
    assert math.isnan(second)


counter = st.integers(-1, 2**63 - 1)


@given(st.dictionaries(st.integers(1, 2**62), st.builds(Counters, *[counter] * 12), max_size=3))
def test_a_sample_is_read_as_it_was_written(domains: dict[int, Counters]) -> None:
    told = Sample(1.5, 2.5, HOST, domains)
    assert unpack(pack(told)) == told


numbers = st.one_of(st.floats(0, 2.0**63), st.just(NOT_A_NUMBER))


@given(st.dictionaries(st.integers(64, 95), st.tuples(*[numbers] * 9), max_size=32))
def test_a_block_of_history_comes_back_within_its_precision(values: dict[int, tuple[float, ...]]) -> None:
    points = pack_block(Kind.DOMAIN, values)
    assert len(points) == 19 * len(values)
    found = dict(unpack_block(Kind.DOMAIN, 2, points))
    assert found.keys() == values.keys()
    for pk, told in values.items():
        for back, value in zip(found[pk], told, strict=True):
            assert math.isnan(value) == math.isnan(back)
            assert math.isnan(value) or abs(back - value) <= 0.00035 * (1 + value)
        assert find_in_block(Kind.DOMAIN, pk, points) == pytest.approx(found[pk], nan_ok=True)
    assert find_in_block(Kind.DOMAIN, 63, b"") is None
