"""What somebody sees when a request fails."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from config.urls import urlpatterns as project

HOME = 'href="/"'


def fail(request: HttpRequest, kind: str) -> HttpResponse:
    raise {"400": SuspiciousOperation, "403": PermissionDenied, "500": RuntimeError}[kind]


urlpatterns = [*project, path("fail/<str:kind>/", fail)]


@pytest.fixture
def browser(settings: Any) -> Client:
    settings.DEBUG = False
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "makes no sense"),
        (403, "You may not do that"),
        (404, "There is no such page"),
        (500, "Something went wrong"),
    ],
)
def test_each_error_has_a_page_in_the_site_s_looks_without_a_database(
    browser: Client, status: int, text: str
) -> None:
    response = browser.get(f"/fail/{status}/" if status != 404 else "/nowhere/")

    html = response.content.decode()
    assert response.status_code == status
    assert text in html
    assert HOME in html
    assert 'rel="stylesheet"' in html
    assert "default-src 'self'" in response["Content-Security-Policy"]


def test_the_error_pages_speak_the_browser_s_language(browser: Client) -> None:
    html = browser.get("/fail/500/", headers={"accept-language": "de"}).content.decode()

    assert '<html lang="de">' in html
    assert "Etwas ist schiefgegangen" in html


@pytest.mark.django_db
def test_a_database_that_is_gone_does_not_hide_the_error_page(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no database")

    monkeypatch.setattr(connection, "cursor", broken)
    browser.cookies["sessionid"] = "x" * 32

    response = browser.get("/")

    assert response.status_code == 500
    assert "Something went wrong" in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [True, False])
def test_a_form_without_its_token_says_what_to_do(settings: Any, debug: bool) -> None:
    settings.DEBUG = debug
    browser = Client(enforce_csrf_checks=True)

    response = browser.post("/accounts/sign-up/", {"email": "ada@example.com"})

    html = response.content.decode()
    assert response.status_code == 403
    assert "Please send the form again" in html
    assert HOME in html
