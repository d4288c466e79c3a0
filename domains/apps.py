from typing import Any

from django.apps import AppConfig


class DomainsConfig(AppConfig):
    name = "domains"

    def ready(self) -> None:
        from access import siblings as grants
        from access.choices import Target
        from hosts import siblings
        from hosts.signals import domain_gone, domain_reported, listing_received

        from . import services
        from .models import Domain

        siblings.register_domain_counts(services.count_domains)
        siblings.register_granted_domains(Domain.objects.all().granted)
        grants.register_usage(services.usage_of)
        every = Domain.objects.select_related("host").all
        grants.register(Target.DOMAIN, grants.Kind(every, Domain.objects.all().named))
        listing_received.connect(_mirror, dispatch_uid="domains.mirror")
        domain_reported.connect(_report, dispatch_uid="domains.report")
        domain_gone.connect(_report, dispatch_uid="domains.gone")


def _mirror(
    sender: object,  # noqa: ARG001 -- a receiver
    *,
    host: Any,
    domains: Any,
    asked_at: Any = None,
    listed_before: Any = None,
    adds: bool = True,
    **_: object,
) -> None:
    from . import services

    services.mirror(host, domains, as_of=asked_at, listed_before=listed_before, adds=adds)


def _report(sender: object, *, host_id: int, domains: Any = (), uuids: Any = (), **_: object) -> None:  # noqa: ARG001 -- a receiver
    from . import services

    services.report([services.Report(host_id, domains, uuids)])
