from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from access import services
from access.errors import NoSuchUser


class Command(BaseCommand):
    help = "Print a new API token of a user, alone. It has all rights of that user and does not expire."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="The name the user logs in with.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(services.create_token_for(options["user"], name="manage.py api_token"))
        except NoSuchUser:
            raise CommandError(f"No active user is called {options['user']!r}.") from None
