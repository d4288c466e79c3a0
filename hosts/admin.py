"""Hosts in the admin: facts are what daemons proved and told, so they are to see; verbs are actions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from access import proof
from access.permissions import caller
from access.readonly import ReadOnlyAdmin

from . import services
from .errors import HostsError
from .models import Host, HostAddress, HostCertificate, JoinKey, Operation, OperationEvent, QuarantinedKey

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[HostAddress, Host]
else:
    TabularInline = admin.TabularInline


def carry_out(
    admin_page: ReadOnlyAdmin, request: HttpRequest, hosts: QuerySet[Host], verb: Callable[[Host], Any]
) -> None:
    """Do `verb` to each host and tell how often it went well; a refusal is told, and stops no other."""
    done = 0
    for host in hosts:
        try:
            verb(host)
            done += 1
        except HostsError as refusal:
            admin_page.message_user(request, f"{host}: {refusal}", messages.WARNING)
    admin_page.message_user(request, ngettext("%d host done.", "%d hosts done.", done) % done)


class HostAddressInline(TabularInline):
    model = HostAddress
    fields = ["ip", "port", "proved_at"]
    readonly_fields = ["ip", "port", "proved_at"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Host | None = None) -> bool:
        return False


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    list_display = [
        "__str__",
        "address",
        "port",
        "trust",
        "health",
        "last_seen",
        "libvirt_alive",
        "daemon_version",
    ]
    list_filter = ["trust", "problem", "hypervisor", "daemon_version", "libvirt_alive"]
    search_fields = ["hostname", "address", "uuid", "addresses__ip"]
    date_hierarchy = "first_seen"
    inlines = [HostAddressInline]
    actions = ["probe", "approve", "deny", "retire"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Host]:
        return Host.objects.with_status()

    @admin.display(description=_("status"), ordering="status")
    def health(self, host: Host) -> str:
        return host.status

    @admin.action(description=_("Probe now"))
    def probe(self, request: HttpRequest, queryset: QuerySet[Host]) -> None:
        carry_out(self, request, queryset, services.probe)

    @admin.action(description=_("Approve"))
    def approve(self, request: HttpRequest, queryset: QuerySet[Host]) -> None:
        carry_out(self, request, queryset, lambda host: services.approve(host, actor=caller(request)))

    @admin.action(description=_("Deny"))
    def deny(self, request: HttpRequest, queryset: QuerySet[Host]) -> None:
        carry_out(self, request, queryset, lambda host: services.deny(host, actor=caller(request)))

    @admin.action(description=_("Retire: give the host up"))
    def retire(self, request: HttpRequest, queryset: QuerySet[Host]) -> HttpResponse | None:
        if detour := proof.detour(request, caller(request)):
            return detour
        carry_out(self, request, queryset, lambda host: services.retire(host, actor=caller(request)))
        return None


@admin.register(HostAddress)
class HostAddressAdmin(ReadOnlyAdmin):
    list_display = ["ip", "port", "host", "proved_at"]
    list_select_related = ["host"]
    search_fields = ["ip", "host__hostname"]


@admin.register(HostCertificate)
class HostCertificateAdmin(ReadOnlyAdmin):
    list_display = ["serial", "host", "host_uuid", "issued_at", "expires_at", "denied_at"]
    list_select_related = ["host"]
    search_fields = ["serial", "host_uuid", "host__hostname", "public_key_sha256"]
    date_hierarchy = "issued_at"


@admin.register(QuarantinedKey)
class QuarantinedKeyAdmin(ReadOnlyAdmin):
    """To delete a row is to hear this key again."""

    list_display = ["public_key_sha256", "ip", "problem", "first_seen", "last_seen"]
    list_filter = ["problem"]
    search_fields = ["public_key_sha256", "ip", "claimed_uuid"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True


@admin.register(JoinKey)
class JoinKeyAdmin(ReadOnlyAdmin):
    """Made on its page, by the API or by `manage.py join_key`: the secret is shown there once, never here."""

    list_display = ["__str__", "state", "approve", "uses", "max_uses", "expires_at", "created_by"]
    list_filter = ["approve", "expires_at"]
    list_select_related = ["created_by"]
    search_fields = ["label", "id"]
    exclude = ["derived_key"]
    actions = ["revoke"]

    @admin.action(description=_("Revoke"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[JoinKey]) -> None:
        for key in queryset:
            services.revoke_join_key(key, actor=caller(request))


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin):
    """The audit: who asked for which change, and what became of it. Nothing in it is changed or deleted."""

    list_display = [
        *("verb", "target_name", "host_name", "actor_name", "state", "progress", "attempts"),
        *("created_at", "finished_at"),
    ]
    list_filter = ["state", "verb", "target_type", "created_at"]
    search_fields = ["id", "target_name", "target_uuid", "host_name", "actor_name"]
    date_hierarchy = "created_at"
    actions = ["cancel"]

    @admin.action(description=_("Cancel"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Operation]) -> None:
        for operation in queryset:
            try:
                services.cancel(operation, actor=caller(request))
            except HostsError as refusal:
                self.message_user(request, f"{operation}: {refusal}", messages.WARNING)


@admin.register(OperationEvent)
class OperationEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "operation", "state", "detail"]
    list_filter = ["state", "at"]
    list_select_related = ["operation"]
    search_fields = ["operation__id", "operation__target_name", "detail"]
