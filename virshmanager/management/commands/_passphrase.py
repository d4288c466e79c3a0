"""The passphrase of a backup: from the terminal, or from standard input. It is in no list of processes."""

import sys
from getpass import getpass

from django.core.management.base import CommandError

SHORTEST = 12


def read_passphrase(*, new: bool) -> str:
    """Ask for a passphrase; a new one twice. Raises CommandError."""
    if not sys.stdin.isatty():
        passphrase = sys.stdin.readline().strip()
    else:
        passphrase = getpass("Passphrase of the backup: ")
        if new and getpass("Again: ") != passphrase:
            raise CommandError("These are two passphrases.")
    if new and len(passphrase) < SHORTEST:
        raise CommandError(f"A passphrase has at least {SHORTEST} characters.")
    return passphrase
