"""Pages that belong to no app."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from . import mailbox


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The landing page."""
    return render(request, "home.html", {"has_mailbox": settings.DEBUG})


def admin(request: HttpRequest, rest: str) -> HttpResponse:
    """The address that Django's users know leads to the same site, forms and all."""
    root, query = reverse("admin:index"), request.META.get("QUERY_STRING", "")
    target = f"{root}{quote(rest.lstrip('/'))}{'?' if query else ''}{query}"
    return HttpResponse(status=307, headers={"Location": target})


@require_safe
def greeting(request: HttpRequest) -> HttpResponse:
    """What the original demo's controller answers."""
    return HttpResponse("Hello from hangfire web api project demo", content_type="text/plain")


@require_safe
def mails(request: HttpRequest) -> HttpResponse:
    """The mails that were sent; in development only."""
    return render(request, "mailbox.html", {"mails": mailbox.read(_mail_dir())})


@require_safe
def mail_html(request: HttpRequest, key: str) -> HttpResponse:
    """The HTML part of a mail, as a mail program would show it: without script or network."""
    mail = mailbox.find(_mail_dir(), key)
    if mail is None or not mail.html:
        raise Http404
    sandbox = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    return HttpResponse(mail.html, headers={"Content-Security-Policy": sandbox})


def _mail_dir() -> Path:
    if not settings.DEBUG:
        raise Http404
    return Path(settings.MAIL_DIR)
