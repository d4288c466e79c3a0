"""A backup: one file, sealed by a passphrase, with all that a lost server needs to go on as the same one.

A tar of the database, the secret of the sessions, and the folder of trust, in which the key of the authority
is sealed besides. Each failure is a BackupError, whose text tells a person what to do.
"""

import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from hosts.trust import sealing
from virshmanager import databases

FORMAT: Final = 1
PURPOSE: Final = b"backup"
# What AES-GCM seals in one piece.
LARGEST: Final = 2**31 - 1
MANIFEST, DATABASE, SECRET = "manifest.json", "database", "secret_key"
PASSING: Final = re.compile(r"\.lock$|^\.")  # of a process, or half written
OURS: Final = re.compile(r"manifest\.json|database|secret_key|trust/[\w-][\w.-]*")


class BackupError(Exception):
    """It cannot be made, or not be restored. One line of text."""


@dataclass(frozen=True)
class Backup:
    """What is in a backup: its files, by name."""

    files: Mapping[str, bytes]

    @property
    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(self.files[MANIFEST])
        return manifest

    @property
    def holds_the_key(self) -> bool:
        """False when a signer under a user of its own has it."""
        return "trust/ca.key" in self.files


def home() -> Path:
    return Path(settings.VIRSHMANAGER_HOME)


def collect() -> Backup:
    """Return the state of this server, as of now; it may run. Raises DumpError."""
    files = {
        f"trust/{path.name}": path.read_bytes()
        for path in sorted((home() / "trust").glob("*"))
        if path.is_file() and not PASSING.search(path.name)
    }
    with tempfile.TemporaryDirectory(dir=home(), prefix=".backup-") as folder:
        databases.dump(Path(folder) / DATABASE)
        files[DATABASE] = (Path(folder) / DATABASE).read_bytes()
    files[SECRET] = (home() / SECRET).read_bytes()
    files[MANIFEST] = json.dumps(_manifest()).encode()
    return Backup(files)


def _manifest() -> dict[str, Any]:
    return {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "database": connection.vendor,
        "migrations": sorted(map(list, MigrationRecorder(connection).applied_migrations())),
    }


def seal(backup: Backup, passphrase: str) -> bytes:
    """Return the bytes of the file. Raises BackupError."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in backup.files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
    if packed.tell() > LARGEST:
        raise BackupError("The database is too large for a backup of this kind: use those of your database.")
    return sealing.seal(packed.getvalue(), passphrase, purpose=PURPOSE)


def unseal(data: bytes, passphrase: str) -> Backup:
    """Read what `seal` made. Raises BackupError."""
    if not sealing.is_sealed(data):
        raise BackupError("This is no backup.")
    try:
        packed = sealing.unseal(data, passphrase, purpose=PURPOSE)
    except ValueError:
        raise BackupError("The passphrase is another one, or the file is damaged.") from None
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        found = {member.name: tar.extractfile(member) for member in tar if OURS.fullmatch(member.name)}
        return Backup({name: content.read() for name, content in found.items() if content})


def refuse_misfit(backup: Backup) -> None:
    """Raises BackupError when this program or its database cannot take the backup."""
    manifest = backup.manifest
    if manifest["format"] != FORMAT:
        raise BackupError("The backup is of a newer version, which this one cannot read.")
    if manifest["database"] != connection.vendor:
        raise BackupError(f"The backup is of {manifest['database']}: set DATABASE_URL to one of that kind.")
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations or {}
    unknown = [pair for pair in map(tuple, manifest["migrations"]) if pair not in known]
    if unknown:
        raise BackupError(
            f"The backup is of a newer version, with {unknown[0][0]}.{unknown[0][1]}: update first."
        )


def is_empty() -> bool:
    """Whether there is nothing here that a restored server would take the place of."""
    return databases.is_empty() and not any((home() / "trust").glob("ca.*"))


def restore(backup: Backup) -> Path | None:
    """Put a backup in the place of all there is; return the folder to which the files of before were moved.

    All is written and checked first. What remains are renames, and one transaction for PostgreSQL: cut
    between them, it is to be done again. Raises BackupError and DumpError, and then nothing has changed.
    """
    refuse_misfit(backup)
    kept = None if is_empty() else home() / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    with tempfile.TemporaryDirectory(dir=home(), prefix=".restore-") as folder:
        staged = Path(folder)
        _write(backup, staged)
        databases.check(staged / DATABASE)
        dump = databases.bring(staged / DATABASE)
        before = kept or staged / "before"
        before.mkdir(mode=0o700)
        if connection.vendor == "postgresql":
            # It may still refuse: then no file has been moved.
            databases.load(dump)
            _move_away(before)
        else:
            connection.close()
            _move_away(before)
            databases.load(dump)
        for path in _places():
            (staged / path.name).rename(path)
    return kept


def _write(backup: Backup, folder: Path) -> None:
    (folder / "trust").mkdir(mode=0o700)
    for name, content in backup.files.items():
        with (folder / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _move_away(before: Path) -> None:
    for path in (*databases.files(), *_places()):
        if path.exists():
            shutil.move(path, before / path.name)


def _places() -> list[Path]:
    return [home() / "trust", home() / SECRET]
