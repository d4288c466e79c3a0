"""Tokens, setup links and second factors in the admin: to see and to revoke, never to make or to read.

The audit: to see.
"""

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from .choices import Resource
from .models import ApiToken, AuditEntry, DirectoryUser, Grant, Quota, SetupLink
from .readonly import ReadOnlyAdmin


class RevocableAdmin(ReadOnlyAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True


@admin.register(ApiToken)
class ApiTokenAdmin(RevocableAdmin):
    list_display = ["name", "user", "scope", "created", "expiry", "last_used_at"]
    list_filter = ["scope", "user", "expiry"]
    list_select_related = ["user"]
    search_fields = ["name", "user__username"]
    fields = ["name", "user", "scope", "created", "expiry", "last_used_at"]


@admin.register(SetupLink)
class SetupLinkAdmin(RevocableAdmin):
    list_display = ["created_at", "expires_at"]
    fields = ["created_at", "expires_at"]


# A provider is a setting of the server, not a row; and what it said of somebody is not to be edited.
admin.site.unregister([SocialAccount, SocialApp, SocialToken])


@admin.register(SocialAccount)
class SocialAccountAdmin(RevocableAdmin):
    """Whom the OpenID Connect provider lets in, and as which user."""

    list_display = ["user", "uid", "date_joined", "last_login"]
    list_select_related = ["user"]
    search_fields = ["user__username", "uid"]
    fields = ["user", "uid", "date_joined", "last_login"]


# To delete a row there would end nothing, and hide the session from its user.
admin.site.unregister(UserSession)

# allauth's own page shows what is to stay secret, and lets it be changed.
admin.site.unregister(Authenticator)


@admin.register(Authenticator)
class AuthenticatorAdmin(RevocableAdmin):
    """Who has lost his phone or his key is helped by deleting it here."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    fields = ["user", "type", "created_at", "last_used_at"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """It never changes: the database itself would refuse."""

    list_display = ["at", "actor_name", "via", "source", "action", "target_name", "result", "problem"]
    list_filter = ["via", "result", "action"]
    search_fields = ["actor_name", "target_name", "target_id", "source"]
    date_hierarchy = "at"
    readonly_fields = ["sequence", "previous_hash", "hash"]


@admin.register(DirectoryUser)
class DirectoryUserAdmin(ReadOnlyAdmin):
    """Whom the LDAP directory lets in. Without the mark it would not: the name would be taken."""

    list_display = ["user"]
    list_select_related = ["user"]
    search_fields = ["user__username"]


@admin.register(Grant)
class GrantAdmin(RevocableAdmin):
    """Grants are made on their own pages, which know what they name."""

    list_display = ["__str__", "user", "group", "role", "created_at", "created_by"]
    list_filter = ["role", "target"]
    list_select_related = ["user", "group", "created_by"]
    search_fields = ["user__username", "group__name", "tag"]
    fields = ["user", "group", "role", "target", "tag", "object_id", "created_at", "created_by"]


@admin.register(Quota)
class QuotaAdmin(RevocableAdmin):
    """Quotas are set on the page of their user or group."""

    list_display = ["__str__", "user", "group", *Resource.values]
    list_select_related = ["user", "group"]
    search_fields = ["user__username", "group__name"]
    fields = ["user", "group", *Resource.values]
