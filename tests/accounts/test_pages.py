"""The pages of the demo, and what they let a browser do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from django.urls import reverse

from accounts.models import User
from config import mailbox

FILE_BACKEND = "django.core.mail.backends.filebased.EmailBackend"


@pytest.fixture
def mail_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DEBUG = True
    settings.EMAIL_BACKEND = FILE_BACKEND
    settings.MAIL_DIR = settings.EMAIL_FILE_PATH = str(tmp_path / "mails")
    return tmp_path / "mails"


def write_mail(subject: str, text: str = "Hello", html: str = "") -> None:
    message = EmailMultiAlternatives(subject, text, to=["ada@example.com"])
    if html:
        message.attach_alternative(html, "text/html")
    message.send()


@pytest.mark.parametrize("address", ["/hangfire", "/admin/"])
def test_the_old_address_of_the_admin_leads_to_the_dashboard(client: Client, address: str) -> None:
    response = client.get(address)

    assert response.status_code in (301, 307)
    assert response["Location"] == reverse("admin:index")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", ["/", "/accounts/sign-up/", "/accounts/log-in/", "/hangfire/login/"]
)
def test_every_page_has_a_policy_and_nothing_inline(client: Client, address: str) -> None:
    response = client.get(address)

    policy = response["Content-Security-Policy"]
    for rule in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    html = response.content.decode()
    assert "<style" not in html
    assert " style=" not in html
    assert "unsafe-inline" not in policy


@pytest.mark.django_db
def test_the_landing_page_leads_everywhere(client: Client, mail_dir: Path) -> None:
    html = client.get("/").content.decode()

    for name in ("accounts:sign_up", "accounts:login", "admin:index", "mailbox"):
        assert f'href="{reverse(name)}"' in html


@pytest.mark.django_db
def test_the_mailbox_is_empty_before_the_first_mail(client: Client, mail_dir: Path) -> None:
    assert client.get("/mailbox/").status_code == 200


@pytest.mark.django_db
def test_the_mailbox_shows_mails_newest_first(client: Client, mail_dir: Path) -> None:
    write_mail("The first")
    write_mail("The second", "Text of it")
    old = next(path for path in mail_dir.iterdir() if "The first" in path.read_text())
    head, _, tail = old.read_text().partition("Date: ")
    old.write_text(f"{head}Date: Mon, 01 Jan 2024 10:00:00 -0000\n{tail.partition(chr(10))[2]}")

    html = client.get("/mailbox/").content.decode()

    assert html.index("The second") < html.index("The first")
    assert "ada@example.com" in html
    assert "Text of it" in html


@pytest.mark.django_db
def test_several_mails_in_one_file_are_all_shown(client: Client, mail_dir: Path) -> None:
    write_mail("One")
    write_mail("Two")
    # Django names a file after the second and the address of an object, which may be used again:
    # then both are in one already.
    files = list(mail_dir.iterdir())
    together = b"".join(file.read_bytes() for file in files)
    for file in files:
        file.unlink()
    files[0].write_bytes(together)

    assert {mail.subject for mail in mailbox.read(mail_dir)} == {"One", "Two"}


@pytest.mark.django_db
def test_a_mail_can_not_bring_markup_into_the_mailbox(client: Client, mail_dir: Path) -> None:
    write_mail("<script>alert(1)</script>", "<img src=x onerror=alert(2)>")

    html = client.get("/mailbox/").content.decode()

    assert "<script>" not in html
    assert "<img" not in html


@pytest.mark.django_db
def test_the_html_of_a_mail_is_shown_in_a_sandbox(client: Client, mail_dir: Path) -> None:
    write_mail("Hello", html="<p>Hi<script>alert(1)</script></p>")
    (mail,) = mailbox.read(mail_dir)

    response = client.get(reverse("mail_html", args=[mail.key]))

    assert "<p>Hi" in response.content.decode()
    policy = response["Content-Security-Policy"]
    assert policy == "sandbox; default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["..", "..%2F..%2Fsecret.0", "%2Fetc%2Fpasswd", "secret.0", "x"])
def test_an_address_reaches_no_file_outside_the_mailbox(
    client: Client, mail_dir: Path, key: str
) -> None:
    write_mail("Hello", html="<p>Hi</p>")
    (mail_dir.parent / "secret.log").write_text("Content-Type: text/html\n\nsecret")

    response = client.get(f"/mailbox/{key}/")

    assert response.status_code == 404


@pytest.mark.django_db
def test_without_debug_there_is_no_mailbox(client: Client, mail_dir: Path, settings: Any) -> None:
    write_mail("Hello", html="<p>Hi</p>")
    (mail,) = mailbox.read(mail_dir)
    settings.DEBUG = False

    assert client.get("/mailbox/").status_code == 404
    assert client.get(reverse("mail_html", args=[mail.key])).status_code == 404
    assert "/mailbox/" not in client.get("/").content.decode()


@pytest.mark.django_db
def test_the_error_pages_for_developers_keep_their_looks(client: Client, settings: Any) -> None:
    settings.DEBUG = True
    assert "Content-Security-Policy" not in client.get("/nowhere/").headers

    settings.DEBUG = False
    assert "Content-Security-Policy" in client.get("/nowhere/").headers


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["accounts:sign_up", "accounts:login"])
def test_who_is_logged_in_is_led_home(client: Client, name: str) -> None:
    client.force_login(User.objects.create_user("ada@example.com", name="Ada"))

    response = client.get(reverse(name))

    assert (response.status_code, response["Location"]) == (302, reverse("home"))


@pytest.mark.django_db
def test_only_who_just_signed_up_is_promised_a_mail(client: Client) -> None:
    form = {"email": "ada@example.com", "name": "Ada", "password": "correct horse battery"}

    first = client.post(reverse("accounts:sign_up"), form, follow=True).content.decode()
    later = client.get("/").content.decode()

    assert "Your welcome mail is on its way" in first
    assert "Hello Ada" in later
    assert "on its way" not in later


@pytest.mark.django_db
def test_a_language_that_was_chosen_is_kept(client: Client) -> None:
    response = client.post(
        reverse("accounts:language"), {"language": "de", "next": "/accounts/log-in/"}
    )

    assert response["Location"] == "/accounts/log-in/"
    assert '<html lang="de">' in client.get("/").content.decode()


@pytest.mark.django_db
def test_the_language_of_who_is_logged_in_goes_with_their_mails(client: Client) -> None:
    user = User.objects.create_user("ada@example.com", name="Ada")
    client.force_login(user)

    client.post(reverse("accounts:language"), {"language": "de"})
    client.post(reverse("accounts:language"), {"language": "xx"})

    user.refresh_from_db()
    assert user.language == "de"


@pytest.mark.django_db
def test_choosing_a_language_leads_to_no_foreign_site(client: Client) -> None:
    form = {"language": "de", "next": "https://elsewhere.example/"}

    response = client.post(reverse("accounts:language"), form)

    assert "elsewhere" not in response["Location"]
