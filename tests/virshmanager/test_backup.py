"""A backup of a server that owns a real daemon: what it refuses, and that the server goes on from it."""

import errno
import io
import json
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings
from virshmanagerd import adoptcode, certificates, commands

from hosts import guards, services, trust
from hosts.agent import hang_up
from hosts.models import Host
from hosts.trust import files, sealing, starting
from hosts.trust.signer.vault import open_issuer
from tests.contract.conftest import meet
from tests.contract.machines import Machine, Running
from virshmanager import backups, databases
from virshmanager.state import sole_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("real_signer")]
PASSPHRASE = "a rather long passphrase"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state folder of a server; the loopback is in an enabled range."""
    settings.VIRSHMANAGER_HOME = tmp_path / "home"
    settings.VIRSHMANAGER_HOME.mkdir(mode=0o700)
    (settings.VIRSHMANAGER_HOME / "secret_key").write_text("the secret of the sessions")
    monkeypatch.setattr(guards, "_guards", [lambda ip: ip.startswith("127.")])
    monkeypatch.delenv("VIRSHMANAGER_MASTER_KEY", raising=False)
    monkeypatch.setattr(sealing, "SCRYPT_N", 2)
    yield settings.VIRSHMANAGER_HOME
    for host in Host.objects.all():
        hang_up(host)


@contextmanager
def signing(home: Path) -> Iterator[None]:
    """The server's signer runs; what this process remembers of the authority is forgotten before."""
    trust._current.clear()
    trust._authority.cache_clear()
    with starting.signer(home / "trust", home / "signer.sock"):
        yield


@pytest.fixture
def running(tmp_path: Path, home: Path) -> Iterator[Running]:
    """A daemon that this server owns."""
    machine = Machine(tmp_path / "hv-01")
    with signing(home):
        machine.give_join_key(services.create_join_key()[1])
        with machine.run() as found:
            assert meet(found).outcome == "owned"
            yield found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lose_all(home: Path) -> None:
    """As a new machine: no table, no key."""
    for host in Host.objects.all():
        hang_up(host)
    connection.close()
    if connection.vendor == "sqlite":
        databases.file().unlink()
    else:
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    shutil.rmtree(home / "trust")
    (home / "secret_key").write_text("the secret of a new server")
    assert backups.is_empty()


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str, passphrase: str = PASSPHRASE) -> str:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{passphrase}\n"))
    call_command(*arguments, stdout=said, stderr=said)
    return said.getvalue()


def refused(monkeypatch: pytest.MonkeyPatch, *arguments: str, passphrase: str = PASSPHRASE) -> str:
    with pytest.raises(CommandError) as error:
        command(monkeypatch, *arguments, passphrase=passphrase)
    return str(error.value)


@pytest.fixture
def file(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup, in which is the user Ada."""
    open_issuer(files.private_folder(home / "trust"), {})
    User.objects.create_user("ada")
    command(monkeypatch, "backup", str(tmp_path / "backup"))
    return tmp_path / "backup"


def test_a_short_passphrase_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "12 characters" in refused(monkeypatch, "backup", str(tmp_path / "b"), passphrase="short")
    assert not (tmp_path / "b").exists()


def test_no_file_is_overwritten(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    assert "exists" in refused(monkeypatch, "backup", str(file))
    assert file.read_bytes() == before


def test_a_database_that_cannot_be_read_leaves_no_file(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "garbage").write_bytes(b"garbage" * 1000)
    monkeypatch.setattr(databases, "file", lambda: tmp_path / "garbage")
    monkeypatch.setattr(databases, "LIBPQ", {"dbname": "PGDATABASE", "host": "PGPORT"})
    assert "refused" in refused(monkeypatch, "backup", str(tmp_path / "backup"))
    assert not (tmp_path / "backup").exists()
    assert not list(home.glob(".backup-*"))


def test_nothing_is_replaced_unasked(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--replace" in refused(monkeypatch, "restore", str(file))


def test_a_running_server_is_not_restored(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sole_user(home):
        assert "stop it first" in refused(monkeypatch, "restore", str(file), "--replace")


@pytest.mark.parametrize(
    ("position", "words"), [(0, "no backup"), (30, "damaged"), (200, "damaged"), (-1, "damaged")]
)
def test_a_damaged_file_changes_nothing(
    file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, position: int, words: str
) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    User.objects.create_user("otto")
    assert words in refused(monkeypatch, "restore", str(file), "--replace")
    assert User.objects.filter(username="otto").exists()
    assert not list(home.glob("before-*"))
    assert not list(home.glob(".restore-*"))


def test_another_passphrase_opens_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another = refused(monkeypatch, "restore", str(file), "--replace", passphrase="another of mine")
    assert "The passphrase is another one" in another


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("manifest.json", {"format": 2}, "newer version"),
        ("manifest.json", {"database": "oracle"}, "set DATABASE_URL"),
        ("manifest.json", {"migrations": [["hosts", "9999_later"]]}, "hosts.9999_later"),
        ("database", None, "damaged|refused"),
    ],
)
def test_what_does_not_fit_changes_nothing(
    file: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    change: dict[str, object] | None,
    words: str,
) -> None:
    backup = backups.unseal(file.read_bytes(), PASSPHRASE)
    content = json.dumps(backup.manifest | change).encode() if change else b"garbage" * 1000
    file.write_bytes(backups.seal(backups.Backup({**backup.files, name: content}), PASSPHRASE))
    User.objects.create_user("otto")
    text = refused(monkeypatch, "restore", str(file), "--replace")
    assert any(word in text for word in words.split("|")), text
    assert User.objects.filter(username="otto").exists()
    assert not list(home.glob("before-*"))
    assert not list(home.glob(".restore-*"))


def test_the_file_alone_is_worthless(file: Path, home: Path) -> None:
    content = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for secret in (b"ada", b"PRIVATE", (home / "trust" / "master.key").read_bytes(), b"sessions"):
        assert secret not in content
    inside = backups.unseal(content, PASSPHRASE)
    assert b"PRIVATE KEY" not in inside.files["trust/ca.key"]


def test_a_master_key_that_is_elsewhere_is_named(
    file: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "trust" / "master.key").unlink()
    assert "master key of the signer is not in it" in command(monkeypatch, "backup", str(tmp_path / "second"))
    (home / "trust" / "ca.key").unlink()
    assert "keep your signer's folder" in command(monkeypatch, "backup", str(tmp_path / "third"))


@pytest.mark.skipif(connection.vendor == "postgresql", reason="of a file")
def test_a_full_disk_changes_nothing(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move = shutil.move

    def fill(source: Path, target: Path) -> object:
        if target.name.endswith(".restored"):
            target.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return move(source, target)

    monkeypatch.setattr(shutil, "move", fill)
    User.objects.create_user("otto")
    assert "No space left" in refused(monkeypatch, "restore", str(file), "--replace")
    assert User.objects.filter(username="otto").exists()
    assert (home / "trust" / "ca.key").exists()
    assert not list(home.glob("before-*"))
    assert not list(databases.file().parent.glob(".*.restored"))


def test_what_was_replaced_is_kept(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "secret_key").write_text("another")
    User.objects.create_user("otto")
    said = command(monkeypatch, "restore", str(file), "--replace")
    [before] = home.glob("before-restore-*")
    assert str(before) in said
    assert (before / "secret_key").read_text() == "another"
    assert (before / "trust" / "ca.key").exists()
    assert (home / "secret_key").read_text() == "the secret of the sessions"
    assert [user.username for user in User.objects.all()] == ["ada"]


def test_what_a_newer_version_added_goes(file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE later (who integer PRIMARY KEY REFERENCES auth_user (id))")
    command(monkeypatch, "restore", str(file), "--replace")
    assert "later" not in connection.introspection.table_names()
    assert [user.username for user in User.objects.all()] == ["ada"]


def test_a_lost_authority_is_no_way_into_the_hosts(home: Path, running: Running) -> None:
    """A new one is a stranger, as is who has the database alone. Only root of a host lets it in."""
    host = Host.objects.get()
    hang_up(host)
    shutil.rmtree(home / "trust")
    daemon = running.daemon
    with signing(home):
        assert not services.renew(host)
        assert services.probe(host).problem == "rejected_by_host"
        assert daemon.ownership.state == "owned"
        list(commands.reset(daemon.config))
        until(lambda: daemon.ownership.state == "unclaimed")
        assert meet(running).outcome == "found"
        fresh = Host.objects.exclude(pk=host.pk).get()
        services.adopt(
            fresh, adoptcode.make(daemon.config.state_dir, daemon.identity.key, certificates.now())
        )
        assert services.probe(fresh).answered


def test_it_goes_on_without_another_adoption(
    home: Path, tmp_path: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = trust.server_identity().server_id
    assert "bytes" in command(monkeypatch, "backup", str(tmp_path / "backup"))
    assert services.renew(Host.objects.get())  # of this certificate the backup does not know
    lose_all(home)
    said = command(monkeypatch, "restore", str(tmp_path / "backup"))
    assert said.startswith("Restored the state of 2")
    assert not list(home.glob("before-*"))
    with signing(home):
        host = Host.objects.get()
        assert host.trust == "owned"
        assert trust.server_identity().server_id == server
        assert services.probe(host).answered
        assert services.renew(host)
    assert (home / "secret_key").read_text() == "the secret of the sessions"
