from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", include("website.urls")),
    path("metrics", include("api.metrics")),
    path("api/v1/", include("api.urls")),
    path("account/", include("allauth.urls")),
    # The back office has a page of its own for it, which leaves no entry in the audit trail.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/", admin.site.urls),
]

handler500 = "website.views.errors.server_error"
