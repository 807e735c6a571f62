"""URLs of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path, re_path, reverse_lazy

from poolwise.api import api, unknown_endpoint
from poolwise.web import views

admin.autodiscover()
admin.site.site_url = reverse_lazy("poolwise:catalogue")  # type: ignore[assignment]  # with its slash, also below a path

urlpatterns = [
    re_path(r"\x00", views.nowhere, name="nowhere"),
    path("admin/", admin.site.urls),
    path("accounts/login/", auth_views.LoginView.as_view(), name="login"),
    path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("api/", api.urls),
    path("api/<path:rest>", unknown_endpoint, name="unknown-endpoint"),
    path("", include("poolwise.urls")),
]
handler500 = "poolwise.web.views.server_error"
