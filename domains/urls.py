from django.urls import path

from . import pages

urlpatterns = [
    path("domains/", pages.domains, name="domains"),
    path("domains/<int:pk>/", pages.domain, name="domain"),
    path("domains/<int:pk>/row/", pages.row, name="domain-row"),
    path("domains/<int:pk>/definition/", pages.definition, name="domain-definition"),
    path("domains/<int:pk>/screen/", pages.screen, name="domain-screen"),
    path("hosts/<int:host_pk>/domains/", pages.of_host, name="host-domains"),
]
