from django.urls import path

from . import pages

urlpatterns = [
    path("hosts/", pages.hosts, name="hosts"),
    path("hosts/add/", pages.add_host, name="add-host"),
    path("hosts/approve/", pages.approve_hosts, name="approve-hosts"),
    path("hosts/<int:pk>/", pages.host, name="host"),
    path("hosts/<int:pk>/row/", pages.row, name="host-row"),
    path("hosts/<int:pk>/trust/", pages.trust, name="trust"),
    path("hosts/<int:pk>/trust/test/", pages.try_connection, name="test-connection"),
    path("hosts/<int:pk>/probe/", pages.probe, name="probe-host"),
    path("hosts/<int:pk>/adopt/", pages.adopt, name="adopt-host"),
    path("hosts/<int:pk>/approve/", pages.approve, name="approve-host"),
    path("hosts/<int:pk>/deny/", pages.deny, name="deny-host"),
    path("hosts/<int:pk>/retire/", pages.retire, name="retire-host"),
    path("operations/", pages.operations, name="operations"),
    path("operations/open/", pages.open_operations, name="open-operations"),
    path("operations/<uuid:pk>/", pages.operation, name="operation"),
    path("operations/<uuid:pk>/cancel/", pages.cancel_operation, name="cancel-operation"),
    path("join-keys/", pages.join_keys, name="join-keys"),
    path("join-keys/create/", pages.create_join_key, name="create-join-key"),
    path("join-keys/<uuid:pk>/revoke/", pages.revoke_join_key, name="revoke-join-key"),
]
