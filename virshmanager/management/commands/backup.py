"""`manage.py backup FILE`: all that a lost server needs to go on, in one file sealed by a passphrase."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from virshmanager import backups
from virshmanager.databases import DumpError

from ._passphrase import read_passphrase


class Command(BaseCommand):
    help = (
        "Write database, keys and secrets to FILE, sealed by a passphrase that is read from the terminal or "
        "standard input. The server may run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="it must not exist yet")

    def handle(self, *, file: Path, **options: Any) -> None:
        passphrase = read_passphrase(new=True)
        os.umask(0o077)
        try:
            with file.open("xb") as output:
                backup = backups.collect()
                output.write(backups.seal(backup, passphrase))
                os.fsync(output.fileno())
        except FileExistsError:
            raise CommandError(f"{file} exists: choose another name.") from None
        except (backups.BackupError, DumpError, OSError) as error:
            file.unlink(missing_ok=True)
            raise CommandError(str(error)) from None
        self.stdout.write(f"{file}: {file.stat().st_size} bytes. Keep the passphrase elsewhere.")
        if not backup.holds_the_key:
            self.stderr.write("The key of the authority is not in it: keep your signer's folder, too.")
        elif "trust/master.key" not in backup.files:
            self.stderr.write("The master key of the signer is not in it: keep that, too.")
