import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from access import audit
from access.exporting import pieces
from access.models import AuditEntry

MEANING = {
    "gap": "it is not there",
    "link": "it does not follow the row before it",
    "hash": "it is not as it was written",
    "known": "it is another than the known one",
}


def known(text: str) -> tuple[int, str]:
    """A number and a hash, as `verify` prints them."""
    found = re.fullmatch("([0-9]{1,18}):([0-9a-f]{64})", text)
    if not found or not int(found[1]):
        raise ValueError
    return int(found[1]), found[2]


class Command(BaseCommand):
    help = "Check the audit, or print it. Exit status: 0 done, 1 the chain is broken, 2 wrong arguments."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verify = verbs.add_parser("verify", help="follow the chain, and name the first row that is wrong")
        verify.add_argument(
            "--known",
            type=known,
            metavar="NUMBER:HASH",
            help="what an earlier check printed: tells also of a chain that was cut short or written anew",
        )
        verbs.add_parser("export", help="print the rows that are chained, as JSON Lines")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        if verb == "verify":
            self.verify(options["known"])
        else:
            for piece in pieces(AuditEntry.objects.all()):
                self.stdout.write(piece, ending="")

    def verify(self, expected: tuple[int, str] | None) -> None:
        report = audit.verify(expected)
        if report.broken:
            sequence, word = report.broken
            raise CommandError(
                f"Row {sequence}: {MEANING[word]} ({word}). {report.rows} rows before it hang together."
            )
        self.stdout.write(f"{report.rows} rows hang together.")
        if report.rows:
            self.stdout.write(f"The last one, to be kept elsewhere: {report.rows}:{report.head}")
        if report.waiting:
            self.stdout.write(f"{report.waiting} new rows are not chained yet.")
        if report.overdue:
            self.stderr.write(f"{report.overdue} of them wait for over a minute: no worker runs.")
