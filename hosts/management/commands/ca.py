"""`manage.py ca rotate` and `ca status`: the certificate authority is followed by a new one."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hosts import services, trust
from hosts.errors import HostsError
from hosts.services.rotating import OVERLAP, SHORTEST_OVERLAP, RotationReport
from hosts.trust import Rotation
from hosts.trust.keys import certificate_fingerprint

DAY: Final = timedelta(days=1)
LONGEST_OVERLAP_DAYS: Final = 365


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "-"


class Command(BaseCommand):
    help = "Follow the certificate authority by a new one, and say how far that is."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        rotate = verbs.add_parser("rotate", help="begin; the workers of the server do the rest")
        rotate.add_argument(
            "--overlap",
            type=float,
            default=OVERLAP / DAY,
            metavar="DAYS",
            help="how long hosts that are away are waited for at most (default: %(default)g)",
        )
        rotate.add_argument(
            "--stolen",
            action="store_true",
            help="the old key is in other hands: cut what its certificates opened as soon as all have moved",
        )
        verbs.add_parser("status", help="say how far it is, and name the hosts that are behind")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        if verb == "rotate":
            self._rotate(options["overlap"], hurried=options["stolen"])
        self._status()

    def _rotate(self, days: float, *, hurried: bool) -> None:
        if not SHORTEST_OVERLAP / DAY <= days <= LONGEST_OVERLAP_DAYS:
            raise CommandError(f"An overlap has from 1 hour to {LONGEST_OVERLAP_DAYS} days.", returncode=2)
        try:
            with trust.signer_at_hand():
                services.rotate(timedelta(days=days), hurried=hurried)
        except HostsError as error:
            raise CommandError(str(error)) from None

    def _status(self) -> None:
        report = services.rotation_report()
        if report is None:
            self.stdout.write("The authority was never followed by another one.")
            return
        lines = {"spreading": _spreading, "moving": _moving, "left": _left}[report.rotation.stage](report)
        for line in [*lines, *_named(report)]:
            self.stdout.write(line)


def _spreading(report: RotationReport) -> list[str]:
    rotation = report.rotation
    name = f"SHA-256 {certificate_fingerprint(rotation.new)}"
    at_the_latest = moment(rotation.take_over_by)
    return [
        f"A new authority was made {moment(rotation.started_at)}, {name}.",
        f"{_done(report)} believe it. It takes over when all do, and at the latest {at_the_latest}.",
        f"{report.join_keys} usable join keys name the old authority, and end then.",
    ]


def _moving(report: RotationReport) -> list[str]:
    rotation = report.rotation
    earliest, latest = moment(rotation.old_may_leave_at), moment(_at_the_latest(rotation))
    return [
        f"The new authority signs since {moment(rotation.took_over_at)}.",
        f"{_done(report)} have its certificate.",
        f"The old one leaves when all have, not before {earliest}, and at the latest {latest}.",
    ]


def _left(report: RotationReport) -> list[str]:
    return [
        f"The old authority is believed no more here since {moment(report.rotation.left_at)}.",
        f"It was taken out of {_done(report)}.",
    ]


def _at_the_latest(rotation: Rotation) -> datetime | None:
    earliest = rotation.old_may_leave_at
    return max(earliest, rotation.take_over_by) if earliest else None


def _done(report: RotationReport) -> str:
    return f"{report.hosts - len(report.behind)} of {report.hosts} hosts"


def _named(report: RotationReport) -> list[str]:
    return [f"  behind: {host} ({host.address}) {host.reason}".rstrip() for host in report.behind]
