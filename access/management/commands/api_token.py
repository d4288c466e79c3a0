from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from access import services
from access.choices import Scope
from access.errors import NoSuchUser


def days(text: str) -> timedelta:
    """Raise ValueError, which the parser tells, unless it is a number of days from 1 to 3650."""
    number = int(text)
    if number not in range(1, 3651):
        raise ValueError
    return timedelta(days=number)


class Command(BaseCommand):
    help = "Print a new API token of a user, alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="The name the user logs in with.")
        parser.add_argument(
            "--scope",
            choices=Scope.values,
            default=Scope.READ.value,
            help="What the token lets a program do of what its user may. Default: %(default)s.",
        )
        parser.add_argument(
            "--days", type=days, default=services.TOKEN_LIFE, help="How long it is good for. Default: 90."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = services.create_token_for(
                options["user"],
                name="manage.py api_token",
                scope=options["scope"],
                expires_in=options["days"],
            )
        except NoSuchUser:
            raise CommandError(f"No active user is called {options['user']!r}.") from None
        self.stdout.write(text)
