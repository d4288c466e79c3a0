from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from access import services
from access.errors import NoSuchUser

OF_OUR_OWN = (
    "{name} signs in by a directory or a provider. The password chosen at this link is one of this server's "
    "own. It lets {name} in beside that, also while the other does not answer or knows {name} no more, until "
    "a superuser disables it in the admin. No password is changed elsewhere."
)


class Command(BaseCommand):
    help = (
        "Print a link for a user who is locked out, alone: once and within 10 minutes he chooses a new "
        "password there, is signed in, and is rid of his second factors."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="The name the user logs in with.")

    def handle(self, *args: Any, **options: Any) -> None:
        name: str = options["user"]
        try:
            self.stdout.write(services.create_recovery_link(name))
        except NoSuchUser:
            raise CommandError(f"No active user is called {name!r}.") from None
        if services.signs_in_elsewhere(name):
            self.stderr.write(OF_OUR_OWN.format(name=name))
