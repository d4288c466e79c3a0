from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from hosts import guards, trust
from hosts.models import Host
from hosts.trust import ClientIdentity

from .journals import Journal, played
from .owned import Owned


@pytest.fixture
def client_identity(tmp_path: Path, settings: Settings) -> ClientIdentity:
    """A server of its own: its authority and identity lie in the test's folder."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    return trust.server_identity()


@pytest.fixture
def owned(tmp_path: Path, client_identity: ClientIdentity) -> Owned:
    return Owned(tmp_path, client_identity)


@pytest.fixture
def dialable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback lies in an enabled range."""
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip.startswith("127.")])


@pytest.fixture
def journal() -> Journal:
    """The journal of the daemon that plays `host`."""
    return Journal()


@pytest.fixture
def host(journal: Journal, tmp_path: Path, client_identity: ClientIdentity) -> Iterator[Host]:
    with played(tmp_path, client_identity, journal) as host:
        yield host


@pytest.fixture
def gone(tmp_path: Path, client_identity: ClientIdentity) -> Host:
    """A host whose port is closed."""
    with played(tmp_path, client_identity, Journal()) as host:
        pass
    return host
