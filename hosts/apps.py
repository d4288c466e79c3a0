import resource

from django.apps import AppConfig

# A connection is kept to every owned host: the usual 1,024 would end at about a thousand hosts.
OPEN_FILES = 65536


class HostsConfig(AppConfig):
    name = "hosts"

    def ready(self) -> None:
        from django.db.models.signals import post_delete

        from access import siblings
        from access.choices import Target

        from . import services
        from .models import Host, QuarantinedKey

        siblings.register(Target.HOST, siblings.Kind(Host.objects.all, Host.objects.all().named))

        post_delete.connect(services.record_release, sender=QuarantinedKey)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
