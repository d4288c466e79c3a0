"""Real daemons while the signer is down: nothing is lost, and all goes on when it is back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from virshmanagerd import adoptcode, certificates

from hosts import services, trust
from hosts.models import Host, HostCertificate
from hosts.trust import SigningError, asking
from tests import signing

from .conftest import meet
from .machines import Machine, Running

Run = Callable[..., Running]


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The signer is there, and is not any more once this is called."""

    def refuse(signer: Path, request: bytes) -> bytes:
        raise ConnectionRefusedError

    return lambda: monkeypatch.setattr(asking, "exchange", refuse)


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(asking, "exchange", signing.answer)


def test_a_host_that_joins(
    run: Run, machine: Machine, down: Callable[[], None], back: Callable[[], None]
) -> None:
    running = run(machine)
    trust.server_identity()
    down()
    met = meet(running)
    assert (met.outcome, Host.objects.get().problem) == ("signer_down", "signer_down")
    assert "signer" in Host.objects.get().reason
    assert not HostCertificate.objects.exists()
    back()
    assert meet(running).outcome == "owned"
    assert Host.objects.get().problem == ""


def test_a_host_that_is_adopted(
    run: Run, tmp_path: Path, down: Callable[[], None], back: Callable[[], None]
) -> None:
    """Its code is not spent."""
    running = run(Machine(tmp_path / "hv-01"))
    assert meet(running).outcome == "found"
    daemon = running.daemon
    code = adoptcode.make(daemon.config.state_dir, daemon.identity.key, certificates.now())
    down()
    with pytest.raises(SigningError) as refused:
        services.adopt(Host.objects.get(), code)
    assert refused.value.problem == "signer_down"
    back()
    services.adopt(Host.objects.get(), code)
    assert Host.objects.get().trust == "owned"


def test_a_host_that_is_owned(
    run: Run, machine: Machine, down: Callable[[], None], back: Callable[[], None]
) -> None:
    running = run(machine)
    assert meet(running).outcome == "owned"
    host = Host.objects.get()
    down()
    assert not services.renew(host)
    assert services.probe(host).answered
    back()
    assert services.renew(host)
    assert HostCertificate.objects.count() == 2
