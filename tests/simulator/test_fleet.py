"""The XML of a simulated hypervisor."""

from xml.etree import ElementTree as ET

import pytest

from simulator.fleet import SHUT_OFF, TEST_NAMESPACE, memory_free, node_xml

KIBIBYTE = 1024


def test_the_same_seed_gives_the_same_host() -> None:
    assert node_xml("hv-01", 12) == node_xml("hv-01", 12)
    assert node_xml("hv-01", 12) != node_xml("hv-02", 12)


@pytest.mark.parametrize("seed", [f"hv-{number:02}" for number in range(1, 7)])
def test_domains_that_are_on_leave_memory_free(seed: str) -> None:
    xml = node_xml(seed, 40)
    root = ET.fromstring(xml)  # noqa: S314 -- our own text
    memory = int(root.findtext("memory", "0")) * KIBIBYTE
    on = [
        int(domain.findtext("memory", "0")) * KIBIBYTE
        for domain in root.iter("domain")
        if domain.findtext(f"{{{TEST_NAMESPACE}}}runstate") != str(SHUT_OFF)
    ]
    assert 0 < memory_free(xml) == memory - sum(on) < memory
