"""The context of one moment."""

from __future__ import annotations

import os
import ssl

import pytest
from authority import Authority

from virshmanagerd import certificates, tls


def terms(client_ca: str | None = None, *, demanded: bool = False) -> tls.Terms:
    key = certificates.new_key()
    certificate = certificates.certificate_to_pem(certificates.self_signed(key))
    return tls.Terms(certificates.key_to_pem(key), certificate, client_ca, demanded)


def test_a_foreign_key_is_refused() -> None:
    mixed = tls.Terms(terms().key, terms().certificate)
    with pytest.raises(ssl.SSLError):
        tls.make_context(mixed)


def test_whom_it_asks(authority: Authority) -> None:
    modes = [
        tls.make_context(found).verify_mode
        for found in (terms(), terms(authority.pem), terms(authority.pem, demanded=True))
    ]
    assert modes == [ssl.CERT_NONE, ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED]


def test_only_tls_1_3_and_no_tickets() -> None:
    context = tls.make_context(terms())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.num_tickets == 0


def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        tls.make_context(terms())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
