"""What a daemon tells of its domains."""

import uuid
from typing import Any, Final, TypedDict

from ..errors import BadPayload
from ..untrusted import (
    a_flag,
    a_list,
    a_text,
    a_uuid,
    an_integer,
    an_object,
    clean_paragraphs,
    text_item,
)

MAX_DOMAINS: Final = 10_000
# More than a daemon tells: one that counts differently must not lose its whole listing by one domain.
MAX_TAGS: Final = 256
MAX_DEVICES: Final = 512
MAX_BOOT: Final = 2048
DOMAIN_STATES: Final = frozenset(
    {"running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended", "unknown"}
)


class DomainFacts(TypedDict):
    """One domain of `GET /v1/domains`. Sizes are bytes; `id` is libvirt's, None when it is not active.

    What a daemon cannot tell of one domain must not cost all others: a size is 0 then, the name its UUID.
    """

    uuid: uuid.UUID
    name: str
    id: int | None
    state: str
    reason: str
    vcpus: int
    memory: int
    max_memory: int
    persistent: bool
    autostart: bool
    has_managed_save: bool
    title: str
    description: str
    tags: list[str]


class Disk(TypedDict):
    target: str
    bus: str
    device: str
    type: str
    source: str
    format: str
    readonly: bool


class Interface(TypedDict):
    mac: str
    type: str
    source: str
    model: str
    target: str
    addresses: list[str]


class Graphics(TypedDict):
    type: str
    listen: str
    port: int | None


class Console(TypedDict):
    type: str
    target: str


class DomainDetails(DomainFacts):
    """`GET /v1/domains/{uuid}`: one domain with its devices."""

    disks: list[Disk]
    interfaces: list[Interface]
    graphics: list[Graphics]
    consoles: list[Console]
    boot: list[str]
    machine: str
    arch: str
    xml_hash: str


def domain_facts(value: object) -> DomainFacts:
    """Check one domain of a listing.

    Raises:
        BadPayload: naming the field that is not as the contract says.
    """
    data = an_object(value, "a domain")
    metadata = an_object(data.get("metadata", {}), "metadata")
    domain_id = a_uuid(data.get("uuid"), "uuid")
    state = data.get("state")
    return DomainFacts(
        uuid=domain_id,
        # libvirt takes names of which nothing is left that may be shown.
        name=a_text(data, "name") or str(domain_id),
        id=an_integer(data, "id", 2**31 - 1),
        # A newer libvirt may know states that this server does not.
        state=state if isinstance(state, str) and state in DOMAIN_STATES else "unknown",
        reason=a_text(data, "reason", 40),
        vcpus=an_integer(data, "vcpus", 100_000) or 0,
        memory=an_integer(data, "memory") or 0,
        max_memory=an_integer(data, "max_memory") or 0,
        persistent=a_flag(data, "persistent"),
        autostart=a_flag(data, "autostart"),
        has_managed_save=a_flag(data, "has_managed_save"),
        title=a_text(data, "title"),
        description=_description(metadata),
        tags=sorted(filter(None, set(a_list(metadata, "tags", MAX_TAGS, text_item)))),
    )


def _description(metadata: dict[str, Any]) -> str:
    value = metadata.get("description")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadPayload("description is no text")
    return clean_paragraphs(value, 10_000)


def domain_list(value: object) -> list[DomainFacts]:
    """Check the answer of `GET /v1/domains`.

    Raises:
        BadPayload: naming the field that is not as the contract says, or the UUID listed twice.
    """
    data = an_object(value, "the listing")
    if "domains" not in data:
        raise BadPayload("the listing has no domains")
    domains = a_list(data, "domains", MAX_DOMAINS, domain_facts)
    if len({domain["uuid"] for domain in domains}) != len(domains):
        raise BadPayload("one UUID is listed twice")
    return domains


def domain_details(value: object) -> DomainDetails:
    """Check the answer of `GET /v1/domains/{uuid}`.

    Raises:
        BadPayload: naming the field that is not as the contract says.
    """
    data = an_object(value, "the domain")
    return DomainDetails(
        **domain_facts(data),
        disks=a_list(data, "disks", MAX_DEVICES, _disk),
        interfaces=a_list(data, "interfaces", MAX_DEVICES, _interface),
        graphics=a_list(data, "graphics", MAX_DEVICES, _graphics),
        consoles=a_list(data, "consoles", MAX_DEVICES, _console),
        boot=a_list(data, "boot", MAX_BOOT, text_item),
        machine=a_text(data, "machine", 64),
        arch=a_text(data, "arch", 64),
        xml_hash=a_text(data, "xml_hash", 64),
    )


def _disk(value: object) -> Disk:
    data = an_object(value, "a disk")
    return Disk(
        target=a_text(data, "target", 64),
        bus=a_text(data, "bus", 64),
        device=a_text(data, "device", 64),
        type=a_text(data, "type", 64),
        source=a_text(data, "source", 4096),
        format=a_text(data, "format", 64),
        readonly=a_flag(data, "readonly"),
    )


def _interface(value: object) -> Interface:
    data = an_object(value, "an interface")
    return Interface(
        mac=a_text(data, "mac", 32),
        type=a_text(data, "type", 64),
        source=a_text(data, "source"),
        model=a_text(data, "model", 64),
        target=a_text(data, "target", 64),
        addresses=a_list(data, "addresses", 100, text_item),
    )


def _graphics(value: object) -> Graphics:
    data = an_object(value, "graphics")
    port = data.get("port")
    return Graphics(
        type=a_text(data, "type", 64),
        listen=a_text(data, "listen"),
        # libvirt says -1 as long as no port has been chosen.
        port=None if port == -1 else an_integer(data, "port", 65535),
    )


def _console(value: object) -> Console:
    data = an_object(value, "a console")
    return Console(type=a_text(data, "type", 64), target=a_text(data, "target", 64))
