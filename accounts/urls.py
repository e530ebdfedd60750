"""Addresses of the accounts pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from .forms import LogInForm
from .views import language, sign_up

app_name = "accounts"
urlpatterns = [
    path("sign-up/", sign_up, name="sign_up"),
    path(
        "log-in/",
        LoginView.as_view(
            template_name="accounts/log_in.html",
            authentication_form=LogInForm,
            redirect_authenticated_user=True,
        ),
        name="login",
    ),
    path("log-out/", LogoutView.as_view(), name="logout"),
    path("language/", language, name="language"),
]
