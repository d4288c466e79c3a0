from django.apps import AppConfig


class DiscoveryConfig(AppConfig):
    name = "discovery"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, pre_delete

        from hosts import guards
        from hosts.filters import register_host_filter

        from . import services
        from .filters import HostRangeFilter
        from .models import Range

        guards.register(services.may_dial)
        register_host_filter("range", HostRangeFilter())
        pre_delete.connect(services.release_addresses, sender=Range)
        post_delete.connect(services.record_deletion, sender=Range)
