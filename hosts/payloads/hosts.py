"""What a daemon tells of its host."""

import uuid
from typing import Final, TypedDict

from ..errors import BadPayload
from ..untrusted import a_flag, a_list, a_text, a_uuid, an_integer, an_object, text_item

# 8 PiB, and of all memories a sum that a database can hold: a host that boasts must not break the overview.
MAX_HOST_MEMORY: Final = 2**53 - 1


class HostFacts(TypedDict):
    """`GET /v1/host`. Sizes are bytes; `load` is the mean of 1, 5 and 15 minutes; "" and None: not known."""

    uuid: uuid.UUID
    hostname: str
    libvirt_uuid: uuid.UUID | None
    machine_id: str
    boot_id: str
    libvirt_uri: str
    libvirt_alive: bool
    libvirt_version: str
    libvirt_error: str
    hypervisor: str
    hypervisor_version: str
    cpus: int | None
    cpu_model: str
    memory: int | None
    memory_free: int | None
    load: list[float]
    daemon_version: str
    features: list[str]
    journal_id: str


def _load(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1_000_000:  # noqa: PLR2004
        raise BadPayload("load holds no plain number")
    return round(float(value), 2)


def host_facts(value: object) -> HostFacts:
    """Check the answer of `GET /v1/host`.

    Raises:
        BadPayload: naming the field that is not as the contract says.
    """
    data = an_object(value, "the host")
    libvirt = an_object(data.get("libvirt"), "libvirt")
    libvirt_uuid = data.get("uuid")
    return HostFacts(
        uuid=a_uuid(data.get("id"), "id"),
        hostname=a_text(data, "hostname"),
        libvirt_uuid=None if libvirt_uuid is None else a_uuid(libvirt_uuid, "uuid"),
        machine_id=a_text(data, "machine_id", 64),
        boot_id=a_text(data, "boot_id", 64),
        libvirt_uri=a_text(libvirt, "uri"),
        libvirt_alive=a_flag(libvirt, "alive"),
        libvirt_version=a_text(libvirt, "version", 50),
        libvirt_error=a_text(libvirt, "error", 500),
        hypervisor=a_text(libvirt, "hypervisor", 50),
        hypervisor_version=a_text(libvirt, "hypervisor_version", 50),
        cpus=an_integer(data, "cpus", 1_000_000),
        cpu_model=a_text(data, "cpu_model"),
        memory=an_integer(data, "memory", MAX_HOST_MEMORY),
        memory_free=an_integer(data, "memory_free", MAX_HOST_MEMORY),
        load=a_list(data, "load", 3, _load),
        daemon_version=a_text(data, "daemon_version", 50),
        features=a_list(data, "features", 100, text_item),
        journal_id=a_text(data, "journal_id", 64),
    )


def api_versions(value: object) -> list[str]:
    """Check the versions of the API in a daemon's identity. Raises BadPayload."""
    return a_list(an_object(value, "the identity"), "api", 20, text_item)
