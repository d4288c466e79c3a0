"""Only what is offered is routed: no sign-up, no e-mail, no reset by mail."""

from allauth.account import views
from django.urls import path

from . import pages

urlpatterns = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("password/change/", views.password_change, name="account_change_password"),
    path("reauthenticate/", views.reauthenticate, name="account_reauthenticate"),
    path("tokens/", pages.tokens, name="tokens"),
    path("tokens/create/", pages.create_token, name="create-token"),
    path("tokens/<int:pk>/delete/", pages.delete_token, name="delete-token"),
    path("setup/<str:secret>/", pages.setup, name="setup"),
]
