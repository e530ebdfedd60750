"""What staff can do with users, and can't do with mails."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import SentMail, User
from jobs.models import Job

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada@example.com", "the old password", name="Ada")


def test_staff_can_list_and_open_users(admin_client: Client, ada: User) -> None:
    assert admin_client.get("/hangfire/accounts/user/").status_code == 200
    assert admin_client.get(f"/hangfire/accounts/user/{ada.pk}/change/").status_code == 200
    assert admin_client.get("/hangfire/accounts/user/add/").status_code == 200


def test_staff_add_a_user_who_can_log_in_and_is_not_welcomed(admin_client: Client) -> None:
    response = admin_client.post(
        "/hangfire/accounts/user/add/",
        {
            "email": "New@Example.com",
            "name": "New",
            "usable_password": "true",
            "password1": PASSWORD,
            "password2": PASSWORD,
        },
    )

    assert response.status_code == 302, response.context["adminform"].form.errors
    assert Client().login(username="new@example.com", password=PASSWORD)
    assert not Job.objects.exists()


def test_an_address_that_is_taken_is_refused_in_any_letter_case(
    admin_client: Client, ada: User
) -> None:
    response = admin_client.post(
        "/hangfire/accounts/user/add/",
        {
            "email": "ADA@example.com",
            "name": "New",
            "usable_password": "true",
            "password1": PASSWORD,
            "password2": PASSWORD,
        },
    )

    assert "email" in response.context["adminform"].form.errors


def test_staff_set_a_user_s_password(admin_client: Client, ada: User) -> None:
    address = f"/hangfire/accounts/user/{ada.pk}/password/"
    assert (
        "../password/"
        in admin_client.get(f"/hangfire/accounts/user/{ada.pk}/change/").content.decode()
    )

    admin_client.post(
        address, {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    )

    assert Client().login(username="ada@example.com", password=PASSWORD)


def test_staff_change_a_user(admin_client: Client, ada: User) -> None:
    response = admin_client.post(
        f"/hangfire/accounts/user/{ada.pk}/change/",
        {
            "email": "Ada@Example.ORG",
            "name": "Ada L.",
            "language": "de",
            "time_zone": "UTC",
            "is_active": "on",
        },
    )

    assert response.status_code == 302, response.context["adminform"].form.errors
    ada.refresh_from_db()
    assert (ada.email, ada.name, ada.language) == ("ada@example.org", "Ada L.", "de")
    assert ada.check_password("the old password")


def test_a_language_that_the_site_does_not_speak_is_refused(
    admin_client: Client, ada: User
) -> None:
    response = admin_client.post(
        f"/hangfire/accounts/user/{ada.pk}/change/",
        {"email": ada.email, "name": "Ada", "language": "xx", "time_zone": "UTC"},
    )

    assert "language" in response.context["adminform"].form.errors


@pytest.mark.parametrize("page", ["add", "change", "delete"])
def test_a_mail_that_was_sent_can_only_be_looked_at(
    admin_client: Client, ada: User, page: str
) -> None:
    mail = SentMail.objects.create(user=ada, kind="welcome", job_id=7)
    address = reverse(f"admin:accounts_sentmail_{page}", args=[] if page == "add" else [mail.pk])

    response = admin_client.post(address, {"user": ada.pk, "kind": "voucher", "post": "yes"})

    assert response.status_code == 403
    assert SentMail.objects.get().kind == "welcome"
    assert admin_client.get("/hangfire/accounts/sentmail/").status_code == 200
    assert admin_client.get(f"/hangfire/accounts/sentmail/{mail.pk}/change/").status_code == 200


def test_with_a_user_go_the_claims_of_their_mails(admin_client: Client, ada: User) -> None:
    SentMail.objects.create(user=ada, kind="welcome", job_id=7)

    admin_client.post(f"/hangfire/accounts/user/{ada.pk}/delete/", {"post": "yes"})

    assert not User.objects.filter(pk=ada.pk).exists()
    assert not SentMail.objects.exists()


def test_the_index_names_the_project_and_nothing_that_stays_empty(admin_client: Client) -> None:
    html = admin_client.get("/hangfire/", follow=True).content.decode()

    assert "Bonfire" in html
    assert "/hangfire/jobs/job/" in html
    assert "django_q" not in html
