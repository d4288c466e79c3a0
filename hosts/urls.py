from django.urls import path

from . import pages

urlpatterns = [
    path("hosts/", pages.hosts, name="hosts"),
    path("hosts/add/", pages.add_host, name="host-add"),
    path("hosts/<int:pk>/", pages.host, name="host"),
    path("hosts/<int:pk>/row/", pages.row, name="host-row"),
    path("hosts/<int:pk>/probe/", pages.probe, name="host-probe"),
    path("hosts/<int:pk>/approve/", pages.approve, name="host-approve"),
    path("hosts/<int:pk>/deny/", pages.deny, name="host-deny"),
    path("hosts/<int:pk>/retire/", pages.retire, name="host-retire"),
    path("join-keys/", pages.join_keys, name="join-keys"),
    path("join-keys/create/", pages.create_join_key, name="join-key-create"),
    path("join-keys/<uuid:pk>/revoke/", pages.revoke_join_key, name="join-key-revoke"),
]
