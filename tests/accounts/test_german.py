"""The project speaks German to who wants it."""

from __future__ import annotations

import ast
import gettext
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

import jobs
from jobs.models import Job
from jobs.states import State
from tests.cluster import ROOT

CATALOGUES = sorted(
    path for folder in ("locale", "jobs/locale") for path in (ROOT / folder).rglob("*.po")
)


def entries(catalogue: Path) -> list[dict[str, str]]:
    """Return the texts of a .po file, each as its keywords (msgid, msgstr, …) and their values."""
    found = []
    for block in catalogue.read_text().split("\n\n"):
        entry: dict[str, str] = {}
        name = ""
        for keyword, quoted in re.findall(r'^(msg\S+ )?(".*")$', block, re.M):
            name = keyword.strip() or name
            entry[name] = entry.get(name, "") + ast.literal_eval(quoted)
        found.append(entry)
    return found[1:]  # without the header


@pytest.fixture
def german() -> Client:
    return Client(headers={"accept-language": "de-AT,de;q=0.9,en;q=0.5"})


def test_there_are_catalogues_of_the_project_and_of_the_package() -> None:
    assert [str(path.relative_to(ROOT)) for path in CATALOGUES] == [
        "jobs/locale/de/LC_MESSAGES/django.po",
        "locale/de/LC_MESSAGES/django.po",
    ]


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: path.parts[-5])
def test_each_text_is_translated_and_compiled(catalogue: Path) -> None:
    assert "#, fuzzy" not in catalogue.read_text()
    with catalogue.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for entry in entries(catalogue):
        text, plural = entry["msgid"], entry.get("msgid_plural")
        for number in (1, 2):
            if plural is None:
                wanted, got = entry["msgstr"], compiled.gettext(text)
            else:
                wanted = entry[f"msgstr[{number - 1}]"]
                got = compiled.ngettext(text, plural, number)
            assert wanted, text
            assert got == wanted, "run `make messages`"


@pytest.mark.django_db
def test_who_signs_up_in_german_gets_german_mails(german: Client) -> None:
    form = {"email": "ada@example.com", "name": "Ada", "password": "correct horse battery"}
    page = german.post(reverse("accounts:sign_up"), form, follow=True).content.decode()
    assert "Ihre Willkommens-Mail ist unterwegs" in page
    assert set(Job.objects.values_list("language", flat=True)) == {"de"}

    with translation.override("en"):  # whatever the worker was started under
        jobs.testing.drain(as_of=timezone.now() + timedelta(hours=5))

    welcome, voucher = mail.outbox
    assert welcome.subject == "Willkommen bei Bonfire"
    assert "Hallo Ada" in welcome.body
    assert '<html lang="de">' in welcome.alternatives[0][0]
    assert "Hallo Ada" in welcome.alternatives[0][0]
    assert "20 % Rabatt" in voucher.body
    assert "20 % Rabatt" in voucher.alternatives[0][0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "heading"),
    [
        ("/", "Hintergrund-Jobs, die nicht verloren gehen"),
        ("/accounts/sign-up/", "Registrieren"),
        ("/accounts/log-in/", "Anmelden"),
    ],
)
def test_pages_speak_the_language_of_the_browser(
    german: Client, address: str, heading: str
) -> None:
    html = german.get(address).content.decode()

    assert '<html lang="de">' in html
    assert f"<h1>{heading}</h1>" in html


@pytest.mark.django_db
def test_a_language_that_is_not_there_becomes_english() -> None:
    html = Client(headers={"accept-language": "fr"}).get("/").content.decode()

    assert '<html lang="en">' in html


def test_states_have_german_names() -> None:
    with translation.override("de"):
        assert str(State.SUCCEEDED.label) == "Erfolgreich"
