"""`manage.py join_key create|list|revoke`: the keys by which hosts join, for scripts and tools."""

import json
import re
import uuid
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hosts import services, trust
from hosts.choices import JOIN_KEY_LIFE, Approval
from hosts.errors import BadInput
from hosts.models import JoinKey
from hosts.trust import SigningError

UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Read `90`, `90s`, `30m`, `24h` or `7d`."""
    found = re.fullmatch("([0-9]{1,9})([smhd]?)", text)
    if not found:
        raise ArgumentTypeError(f"not a time like 24h, 7d or 3600: {text!r}")
    return timedelta(**{UNITS[found[2] or "s"]: int(found[1])})


class Command(BaseCommand):
    help = "Create, list and revoke the keys by which hypervisors join."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="print a new join.json, this once: redirect it to a file")
        create.add_argument("--label", default="", help="what the key is for")
        create.add_argument(
            "--cidr", action="append", default=[], help="network it may be used from; may repeat"
        )
        create.add_argument(
            "--expires-in",
            type=duration,
            default=JOIN_KEY_LIFE,
            help="24h (the default), 30m, 7d, seconds",
        )
        create.add_argument("--max-uses", type=int, help="how many hosts may join by it; default: any number")
        create.add_argument(
            "--approve",
            choices=Approval.values,
            default=Approval.AUTO,
            help="own a host that proves the key at once (auto), or after a person's approval (pending)",
        )
        verbs.add_parser("list", help="print all join keys, without their secrets")
        verbs.add_parser("revoke", help="let no more host join by a key").add_argument("id", type=uuid.UUID)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        {"create": self.create, "list": self.list, "revoke": self.revoke}[verb](options)

    def create(self, options: dict[str, Any]) -> None:
        try:
            # The file names our authority, which the first signer makes.
            with trust.signer_at_hand():
                _, join = services.create_join_key(
                    label=options["label"],
                    cidrs=options["cidr"],
                    expires_in=options["expires_in"],
                    max_uses=options["max_uses"],
                    approve=options["approve"],
                )
        except BadInput as error:
            raise CommandError(str(error), returncode=2) from None
        except SigningError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(join, indent=2))

    def list(self, options: dict[str, Any]) -> None:
        for key in JoinKey.objects.all():
            uses = f"{key.uses}/{key.max_uses or 'any'}"
            networks = ",".join(key.cidrs) or "any network"
            columns = [
                key.id,
                key.state,
                f"{key.expires_at:%Y-%m-%dT%H:%MZ}",
                uses,
                key.approve,
                networks,
                key.label,
            ]
            self.stdout.write("  ".join(map(str, columns)))

    def revoke(self, options: dict[str, Any]) -> None:
        key = JoinKey.objects.filter(pk=options["id"]).first()
        if key is None:
            raise CommandError(f"There is no join key {options['id']}.")
        services.revoke_join_key(key)
