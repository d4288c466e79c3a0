"""Every route of the server: the pages of each app, the API, the admin and the state of health."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from . import health, pages
from .api import router

urlpatterns = [
    path("", pages.overview, name="overview"),
    path("", include("discovery.urls")),
    path("", include("hosts.urls")),
    path("", include("domains.urls")),
    path("account/", include("access.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
    path("api/", include(router.urls)),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
