from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from discovery import services
from discovery.errors import BadRange
from discovery.models import Range
from discovery.networks import parse_range
from hosts.choices import DAEMON_PORT

WRONG_ARGUMENTS = 2


class Command(BaseCommand):
    help = "Make a range, or change the port of one. Nothing is sent by this."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cidr", metavar="CIDR", help="the network")
        parser.add_argument("--port", type=int, default=DAEMON_PORT, help="the port of its daemons")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            cidr = str(parse_range(options["cidr"]))
            known = Range.objects.filter(cidr=cidr).first()
            if known:
                services.update_range(known, port=options["port"])
            else:
                services.create_range(cidr=cidr, port=options["port"])
        except BadRange as error:
            raise CommandError(str(error), returncode=WRONG_ARGUMENTS) from error
        self.stdout.write(f"{cidr} is looked at on port {options['port']}.")
