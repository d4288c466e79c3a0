"""`manage.py restore FILE`: what `manage.py backup` wrote takes the place of all there is."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from virshmanager import backups
from virshmanager.databases import DumpError
from virshmanager.state import InUse, sole_user

from ._passphrase import read_passphrase


class Command(BaseCommand):
    help = "Restore the server from FILE; its passphrase is read from the terminal or standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--replace", action="store_true", help="also when there is a server's state here already"
        )

    def handle(self, *, file: Path, replace: bool, **options: Any) -> None:
        os.umask(0o077)
        try:
            data = file.read_bytes()
            with sole_user(settings.VIRSHMANAGER_HOME):
                if not replace and not backups.is_empty():
                    raise CommandError("There is a server's state here already: --replace would replace it.")
                backup = backups.unseal(data, read_passphrase(new=False))
                before = backups.restore(backup)
        except InUse:
            raise CommandError("The server runs: stop it first.") from None
        except (backups.BackupError, DumpError, OSError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Restored the state of {backup.manifest['made_at']}.")
        if before:
            self.stdout.write(f"The files of before are in {before}: delete it when all is well.")
        if not backup.holds_the_key:
            self.stderr.write("The key of the authority was not in it: restore your signer's folder, too.")
