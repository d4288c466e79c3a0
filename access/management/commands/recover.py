from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from access import services
from access.errors import NoSuchUser


class Command(BaseCommand):
    help = (
        "Print a link for a user who is locked out, alone: once and within 10 minutes he chooses a new "
        "password there, is signed in, and is rid of his second factors."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="The name the user logs in with.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(services.create_recovery_link(options["user"]))
        except NoSuchUser:
            raise CommandError(f"No active user is called {options['user']!r}.") from None
