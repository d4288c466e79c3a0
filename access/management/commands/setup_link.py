from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from access import services
from access.errors import SetupClosed


class Command(BaseCommand):
    help = "Print a one-time link by which the first administrator is created."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--if-needed", action="store_true", help="Say nothing if there is a user already."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(services.create_setup_link())
        except SetupClosed:
            if options["if_needed"]:
                return
            raise CommandError("There is a user already: log in, or use `manage.py recover`.") from None
