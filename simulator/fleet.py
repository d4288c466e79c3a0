"""The XML of one simulated hypervisor for libvirt's test driver: a node, and domains in mixed states.

Source of the format: libvirt, "Test driver", https://libvirt.org/drvtest.html.
"""

import random
import uuid
from xml.etree import ElementTree as ET

TEST_NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"
TAGS_NAMESPACE = "urn:virshmanager:domain:1"
ROLES = ("web", "db", "mail", "build", "dns", "proxy", "cache", "queue", "backup", "lab", "wiki", "ldap")
# Four of five are on, as in a machine room; 1 running, 3 paused, 5 shut off (virDomainState).
SHUT_OFF = 5
RUN_STATES = (1, 1, 1, 1, 1, 1, 1, 1, SHUT_OFF, SHUT_OFF, SHUT_OFF, 3)
MEBIBYTE = 1024

ET.register_namespace("test", TEST_NAMESPACE)


def node_xml(seed: str, domains: int) -> str:
    """Return the `<node>` of a host with `domains` domains. The same seed gives the same host."""
    chance = random.Random(seed)  # noqa: S311 -- reproducible, not secret
    node = ET.Element("node")
    cpu = ET.SubElement(node, "cpu")
    cores = chance.choice((8, 16, 32))
    facts = {
        "mhz": 2600,
        "model": "x86_64",
        "active": cores,
        "nodes": 1,
        "sockets": 1,
        "cores": cores,
        "threads": 1,
    }
    for name, value in facts.items():
        ET.SubElement(cpu, name).text = str(value)
    ET.SubElement(node, "memory").text = str(chance.choice((128, 192, 256)) * 1024 * MEBIBYTE)
    numbers = dict.fromkeys(ROLES, 0)
    for _ in range(domains):
        role = chance.choice(ROLES)
        numbers[role] += 1
        node.append(_domain(chance, f"{role}-{seed.rpartition('-')[2]}-{numbers[role]:02}", role))
    return ET.tostring(node, encoding="unicode")


def memory_free(node: str) -> int:
    """Return the bytes that the domains of a `<node>` leave free."""
    root = ET.fromstring(node)  # noqa: S314 -- our own text
    used = sum(
        int(domain.findtext("memory", "0"))
        for domain in root.iter("domain")
        if domain.findtext(f"{{{TEST_NAMESPACE}}}runstate") != str(SHUT_OFF)
    )
    return (int(root.findtext("memory", "0")) - used) * 1024


def machine_id(seed: str) -> str:
    """Return the machine-id of a host: 32 hexadecimal digits. The same seed gives the same id."""
    return random.Random(seed).randbytes(16).hex()  # noqa: S311 -- reproducible, not secret


def _domain(chance: random.Random, name: str, role: str) -> ET.Element:
    domain = ET.Element("domain", type="test")
    ET.SubElement(domain, "name").text = name
    ET.SubElement(domain, "uuid").text = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    ET.SubElement(domain, "title").text = f"{role.capitalize()} server"
    metadata = ET.SubElement(domain, "metadata")
    tags = ET.SubElement(metadata, f"{{{TAGS_NAMESPACE}}}tags")
    for tag in (role, chance.choice(("prod", "test"))):
        ET.SubElement(tags, f"{{{TAGS_NAMESPACE}}}tag").text = tag
    ET.SubElement(domain, "memory", unit="KiB").text = str(chance.choice((512, 1024, 2048, 4096)) * MEBIBYTE)
    ET.SubElement(domain, "vcpu").text = str(chance.choice((1, 1, 2, 4)))
    ET.SubElement(ET.SubElement(domain, "os"), "type").text = "hvm"
    _devices(domain, chance, name)
    ET.SubElement(domain, f"{{{TEST_NAMESPACE}}}runstate").text = str(chance.choice(RUN_STATES))
    return domain


def _devices(domain: ET.Element, chance: random.Random, name: str) -> None:
    devices = ET.SubElement(domain, "devices")
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "source", file=f"/var/lib/libvirt/images/{name}.qcow2")
    ET.SubElement(disk, "target", dev="vda", bus="virtio")
    interface = ET.SubElement(devices, "interface", type="network")
    octets = (0x52, 0x54, 0x00, *(chance.randrange(256) for _ in range(3)))
    ET.SubElement(interface, "mac", address=":".join(f"{octet:02x}" for octet in octets))
    ET.SubElement(interface, "source", network="default")
