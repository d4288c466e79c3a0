"""Only what is offered is routed: no sign-up, no e-mail, no reset by mail."""

from allauth.account import views
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.usersessions.views import list_usersessions
from django.contrib.auth.decorators import login_not_required
from django.urls import path
from django.views.generic import RedirectView

from . import pages

urlpatterns = [
    path("login/", views.login, name="account_login"),
    path("login/second/", login_not_required(factors.authenticate), name="mfa_authenticate"),
    path("login/passkey/", login_not_required(webauthn.login_webauthn), name="mfa_login_webauthn"),
    path("login/provider/", pages.sign_in_at_provider, name="oidc-login"),
    path("login/provider/back/", pages.back_from_provider, name="oidc-callback"),
    path("logout/", views.logout, name="account_logout"),
    path("password/change/", pages.change_password, name="account_change_password"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("reauthenticate/code/", factors.reauthenticate, name="mfa_reauthenticate"),
    path("reauthenticate/passkey/", webauthn.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("reauthenticate/provider/", pages.reauthenticate_at_provider, name="oidc-reauthenticate"),
    path("sessions/", list_usersessions, name="usersessions_list"),
    path("factors/", factors.index, name="mfa_index"),
    path("factors/app/activate/", totp.activate_totp, name="mfa_activate_totp"),
    path("factors/app/deactivate/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("factors/recovery/", recovery.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("factors/recovery/generate/", recovery.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    # allauth has a list of its own; ours is a part of the page of all factors.
    path("factors/keys/", RedirectView.as_view(pattern_name="mfa_index"), name="mfa_list_webauthn"),
    path("factors/keys/add/", webauthn.add_webauthn, name="mfa_add_webauthn"),
    path("factors/keys/<int:pk>/edit/", webauthn.edit_webauthn, name="mfa_edit_webauthn"),
    path("factors/keys/<int:pk>/remove/", webauthn.remove_webauthn, name="mfa_remove_webauthn"),
    path("tokens/", pages.tokens, name="tokens"),
    path("tokens/create/", pages.create_token, name="create-token"),
    path("tokens/<int:pk>/delete/", pages.delete_token, name="delete-token"),
    path("quota/", pages.quota, name="quota"),
    path("recover/<str:uidb64>/<str:token>/", pages.Recover.as_view(), name="recover"),
    path("setup/<str:secret>/", pages.setup, name="setup"),
]

# Who may do what: not below `account/`, which is one's own.
people = [
    path("users/", pages.users, name="users"),
    path("users/create/", pages.create_user, name="create-user"),
    path("users/<int:pk>/", pages.user, name="user"),
    path("users/<int:pk>/active/", pages.set_active, name="set-active"),
    path("users/<int:pk>/groups/", pages.put_into_groups, name="put-into-groups"),
    path("users/<int:pk>/grants/", pages.grant_to_user, name="grant-to-user"),
    path("users/<int:pk>/quota/", pages.limit_user, name="limit-user"),
    path("groups/", pages.groups, name="groups"),
    path("groups/create/", pages.create_group, name="create-group"),
    path("groups/<int:pk>/", pages.group, name="group"),
    path("groups/<int:pk>/grants/", pages.grant_to_group, name="grant-to-group"),
    path("groups/<int:pk>/quota/", pages.limit_group, name="limit-group"),
    path("groups/<int:pk>/rename/", pages.rename_group, name="rename-group"),
    path("groups/<int:pk>/delete/", pages.delete_group, name="delete-group"),
    path("grants/<int:pk>/revoke/", pages.revoke_grant, name="revoke-grant"),
    path("explain/", pages.explain, name="explain"),
]
