from django.urls import path

from . import pages

urlpatterns = [
    path("domains/", pages.domains, name="domains"),
    path("domains/bulk/", pages.bulk, name="bulk-domains"),
    path("domains/<int:pk>/", pages.domain, name="domain"),
    path("domains/<int:pk>/row/", pages.row, name="domain-row"),
    path("domains/<int:pk>/verbs/", pages.verbs, name="domain-verbs"),
    path("domains/<int:pk>/verbs/<slug:name>/", pages.verb, name="domain-verb"),
    path("domains/<int:pk>/edit/", pages.edit, name="edit-domain"),
    path("domains/<int:pk>/definition/", pages.definition, name="domain-definition"),
    path("domains/<int:pk>/console/", pages.console, name="console"),
    path("domains/<int:pk>/screen/", pages.screen, name="domain-screen"),
    path("domains/<int:pk>/forget/", pages.forget, name="forget-domain"),
    path("hosts/<int:host_pk>/domains/", pages.of_host, name="host-domains"),
    path("hosts/<int:host_pk>/domains/define/", pages.define, name="define-domain"),
]
