"""The one script that is not ours, htmx, from django-htmx; it need not be an installed app."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from django.http import HttpResponse

if TYPE_CHECKING:
    from .pages import Page


@cache
def script() -> bytes:
    return files("django_htmx").joinpath("static/django_htmx/htmx-2.min.js").read_bytes()


@cache
def version() -> str:
    """Return what changes with the script, so that browsers may keep it for good."""
    return sha256(script()).hexdigest()[:12]


def htmx(page: Page) -> HttpResponse:
    """Answer with the script."""
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return HttpResponse(script(), content_type="text/javascript; charset=utf-8", headers=headers)
