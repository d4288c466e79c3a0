from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from hosts import guards, trust
from hosts.trust import ClientIdentity


@pytest.fixture
def client_identity(tmp_path: Path, settings: Settings) -> ClientIdentity:
    """A server of its own: its authority and identity lie in the test's folder."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    return trust.server_identity()


@pytest.fixture
def dialable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback lies in an enabled range."""
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip.startswith("127.")])
