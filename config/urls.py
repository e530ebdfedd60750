"""Addresses of the demo project."""

from django.contrib import admin
from django.urls import include, path, re_path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("accounts/", include("accounts.urls")),
    path("hangfire/", admin.site.urls),
    re_path(r"^admin/(?P<rest>.*)$", views.admin),
    path("api/hangfire", views.greeting, name="greeting"),
    path("mailbox/", views.mails, name="mailbox"),
    path("mailbox/<str:key>/", views.mail_html, name="mail_html"),
]
