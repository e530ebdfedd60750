"""Signing up, and the language to be spoken to in."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from .forms import SignUpForm
from .models import User


@sensitive_post_parameters("password")
def sign_up(request: HttpRequest) -> HttpResponse:
    """Show the form; create the account and log in. Who is logged in has nothing to do here."""
    if request.user.is_authenticated:
        return redirect("home")
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and (user := form.sign_up()):
        login(request, user)
        messages.success(request, _("Your welcome mail is on its way."))
        return redirect("home")
    status = 422 if form.is_bound else 200
    return render(request, "accounts/sign_up.html", {"form": form}, status=status)


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Keep the language of the pages in a cookie, and for who is logged in that of their mails."""
    code = request.POST.get("language")
    if request.user.is_authenticated and code in dict(settings.LANGUAGES):
        User.objects.filter(pk=request.user.pk).update(language=code)
    return set_language(request)
