from __future__ import annotations

import libvirt
import pytest

from virshmanagerd.errors import BY_CODE, DETAIL_LIMIT, DriverError, from_code
from virshmanagerd.web import TITLES

CODES = {
    "NO_SUPPORT": ("not_supported", 501),
    "NO_CONNECT": ("libvirt_down", 503),
    "INVALID_CONN": ("libvirt_down", 503),
    "XML_ERROR": ("invalid_xml", 422),
    "XML_DETAIL": ("invalid_xml", 422),
    "NO_DOMAIN": ("no_such_domain", 404),
    "OPERATION_INVALID": ("wrong_state", 409),
    "CONFIG_UNSUPPORTED": ("not_supported", 501),
    "OPERATION_TIMEOUT": ("hypervisor_busy", 504),
    "ARGUMENT_UNSUPPORTED": ("not_supported", 501),
    "OPERATION_UNSUPPORTED": ("not_supported", 501),
    "RESOURCE_BUSY": ("hypervisor_busy", 504),
    "XML_INVALID_SCHEMA": ("invalid_xml", 422),
}


@pytest.mark.parametrize(("name", "meaning"), CODES.items())
def test_libvirts_codes_have_a_type_and_a_status(name: str, meaning: tuple[str, int]) -> None:
    error = from_code(getattr(libvirt, f"VIR_ERR_{name}"), "why")
    assert (error.type, error.status) == meaning
    assert error.detail == "why"


def test_the_table_holds_no_other_codes() -> None:
    assert len(BY_CODE) == len(CODES)


def test_any_other_code_is_an_internal_error_with_libvirts_message() -> None:
    error = from_code(libvirt.VIR_ERR_ACCESS_DENIED, "access denied")
    assert (error.type, error.status, error.detail) == ("internal_error", 500, "access denied")


def test_a_hostile_message_is_capped_and_stripped() -> None:
    detail = from_code(0, "a\x00\x1b[31m\nb" + "x" * 10_000).detail
    assert detail.startswith("a[31mbx")
    assert len(detail) == DETAIL_LIMIT


def test_every_type_is_of_the_contract() -> None:
    def tree(kind: type[DriverError]) -> set[type[DriverError]]:
        return {kind}.union(*(tree(below) for below in kind.__subclasses__()))

    raised = tree(DriverError) - {kind for kind in tree(DriverError) if kind.__name__ == "Unavailable"}
    assert {kind.type for kind in raised} <= TITLES.keys()
