"""`manage.py check_headers [PATH]`: what a scanner of headers would say, by the settings as they are."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.test import Client

from virshmanager.observatory import Visit, findings, score

LEAST = 115


def visit(path: str) -> Visit:
    """Ask this very application, as a browser without a login does. Nothing is sent over a network."""
    name = settings.PUBLIC_HOST or "localhost"
    client = Client(raise_request_exception=False, SERVER_NAME=name)
    plain = client.get(path)
    page = client.get(path, secure=settings.TLS_IN_FRONT, follow=True)
    return Visit(
        headers=page.headers,
        html=page.content.decode(errors="replace"),
        cookies=list(client.cookies.values()),
        plain_http_location=plain.headers.get("Location", ""),
    )


class Command(BaseCommand):
    help = f"The score of Mozilla's HTTP Observatory for these settings; fails below {LEAST}."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", nargs="?", default="/", help="the page to begin at")

    def handle(self, *, path: str, **options: Any) -> None:
        found = findings(visit(path))
        for finding in found:
            self.stdout.write(f"{finding.points:+4d}  {finding.test}: {finding.words}")
        total = score(found)
        self.stdout.write(f"{total:4d}  HTTP Observatory")
        if not settings.TLS_IN_FRONT:
            self.stdout.write("HTTPS is not declared: set VIRSHMANAGER_URL, as docs/settings.md says.")
        if total < LEAST:
            raise CommandError(f"The score is below {LEAST}.")
