from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from access import services


class Command(BaseCommand):
    help = (
        "Create the administrator `admin` with the password in VIRSHMANAGER_ADMIN_PASSWORD, unless it exists."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.VIRSHMANAGER_ADMIN_PASSWORD:
            raise CommandError("VIRSHMANAGER_ADMIN_PASSWORD is not set.")
        created = services.ensure_automation_user(settings.VIRSHMANAGER_ADMIN_PASSWORD)
        self.stdout.write(
            "Created the user admin." if created else "The user admin exists and was left as it is."
        )
