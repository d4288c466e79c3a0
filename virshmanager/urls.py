"""Every route of the server: the pages of each app, the API, the admin and the state of health."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from access.api import ExplainView, OwnQuotaView
from access.pages import audit, export_audit
from access.urls import people
from domains.api import DefineView
from domains.metrics import HostMetricsView

from . import health, metrics, pages
from .api import SummaryView, router

to_login = login_not_required(RedirectView.as_view(pattern_name="account_login", query_string=True))

urlpatterns = [
    path("", pages.overview, name="overview"),
    path("", include("discovery.urls")),
    path("", include("hosts.urls")),
    path("", include("domains.urls")),
    path("account/", include("access.urls")),
    path("", include(people)),
    path("audit/", audit, name="audit"),
    path("audit/export/", export_audit, name="export-audit"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    # It is a page, and cannot answer as the API does when it is asked for its options.
    path(
        "api/docs/",
        SpectacularSwaggerSplitView.as_view(url_name="schema", http_method_names=["get", "head"]),
        name="api-docs",
    ),
    path("api/hosts/<int:pk>/domains/", DefineView.as_view(), name="host-define"),
    path("api/explain/", ExplainView.as_view(), name="explain-api"),
    path("api/quota/", OwnQuotaView.as_view(), name="own-quota"),
    path("api/summary/", SummaryView.as_view(), name="summary"),
    path("api/hosts/<int:pk>/metrics/", HostMetricsView.as_view(), name="host-metrics"),
    path("api/", include(router.urls)),
    # The admin has no login of its own.
    path("admin/login/", to_login, name="admin-login"),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]

handler400 = "virshmanager.errors.bad_request"
handler403 = "virshmanager.errors.permission_denied"
handler404 = "virshmanager.errors.page_not_found"
handler500 = "virshmanager.errors.server_error"
