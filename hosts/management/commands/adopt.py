"""`manage.py adopt HOST`: own a host by the code that was read on it, given on standard input."""

import ipaddress
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.views.decorators.debug import sensitive_variables

from hosts import services, trust
from hosts.errors import BadInput, HostsError
from hosts.models import Host


def find(name: str) -> Host:
    """Return the one host of this id, hostname or address. Raises CommandError."""
    named = Q(hostname=name)
    if name.isascii() and name.isdigit():
        named |= Q(pk=int(name[:18]))
    try:
        ip = str(ipaddress.ip_address(name))
        named |= Q(address=ip) | Q(addresses__ip=ip)
    except ValueError:
        pass
    found = list(Host.objects.filter(named).distinct())
    if len(found) != 1:
        known = "".join(f"\n  {host.pk}  {host}  {host.address}" for host in found)
        reason = (
            f"Several hosts are called so; name one by its id:{known}" if found else "No host is called so."
        )
        raise CommandError(reason)
    return found[0]


class Command(BaseCommand):
    help = "Own a host by its adopt code, which is read from standard input: it is in no list of processes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("host", help="the host's id, hostname or address")

    @sensitive_variables("code")
    def handle(self, *args: Any, host: str, **options: Any) -> None:
        found = find(host)
        if sys.stdin.isatty():
            self.stderr.write("The code that “virshmanagerd code” printed on the host: ", ending="")
        code = sys.stdin.readline(100)
        try:
            with trust.signer_at_hand():
                services.adopt(found, code)
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from None
        except HostsError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{found} is owned.")
