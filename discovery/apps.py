from django.apps import AppConfig


class DiscoveryConfig(AppConfig):
    name = "discovery"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import pre_delete

        from hosts import guards

        from . import services
        from .models import Range

        guards.register(services.may_dial)
        pre_delete.connect(services.release_addresses, sender=Range)
