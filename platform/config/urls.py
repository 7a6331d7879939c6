from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("website.urls")),
    path("api/v1/", include("api.urls")),
    path("account/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]

handler500 = "website.views.errors.server_error"
