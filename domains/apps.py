from typing import Any

from django.apps import AppConfig


class DomainsConfig(AppConfig):
    name = "domains"

    def ready(self) -> None:
        from hosts import siblings
        from hosts.signals import listing_received

        from . import services

        siblings.register_domain_counts(services.count_domains)
        listing_received.connect(_mirror, dispatch_uid="domains.mirror")


def _mirror(sender: object, *, host: Any, domains: Any, **_: object) -> None:  # noqa: ARG001 -- a receiver
    from . import services

    services.mirror(host, domains)
