"""Somebody signs up with a real browser, and real workers send the mails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from accounts.forms import SignUpForm
from accounts.models import User
from jobs.models import Job
from tests.browser.chromium import PASSWORD, Browser
from tests.cluster import Server, until


def test_the_welcome_mail_arrives_and_staff_see_its_job_with_history(
    browser: Browser, worker: Server
) -> None:
    browser.sign_up("ada@example.com")
    assert browser.has("Your welcome mail is on its way")

    browser.open("/mailbox/")
    browser.reload_until("Welcome to Bonfire")
    assert browser.has("ada@example.com")
    browser.find("article a").click()
    until(lambda: browser.has("welcome to Bonfire"))

    job = Job.objects.get(func__endswith="send_welcome_email")
    browser.log_in_as_staff()
    browser.open("/admin/jobs/job/")
    browser.reload_until("Succeeded")
    browser.open(f"/admin/jobs/job/{job.pk}/change/")
    history = browser.find("#history-group").text
    assert "Succeeded" in browser.text
    assert "Enqueued" in history
    assert "Processing" in history
    assert history.index("Enqueued") < history.index("Processing")
    assert browser.complaints() == []


def test_a_german_browser_gets_german_pages_and_a_german_mail(
    open_browser: Callable[..., Browser], worker: Server
) -> None:
    browser = open_browser("de")

    browser.sign_up("ada@example.com")
    assert browser.has("Ihre Willkommens-Mail ist unterwegs")

    browser.open("/mailbox/")
    browser.reload_until("Willkommen bei Bonfire")


def test_errors_stand_at_their_fields_and_the_cursor_in_the_first_of_them(
    browser: Browser,
) -> None:
    browser.open("/accounts/sign-up/")
    browser.fill(email="ada@example.com", name="Ada", password="12345678")
    browser.submit()
    browser.wait_for("This password is too common")

    field = browser.driver.switch_to.active_element
    assert field.get_attribute("name") == "password"
    assert field.get_attribute("aria-invalid") == "true"
    described = (field.get_attribute("aria-describedby") or "").split()
    said = [browser.find(f"#{name}").text for name in described]
    assert any("too common" in text for text in said)
    assert browser.driver.title.startswith("Error: ")
    assert browser.find("[name=email]").get_attribute("value") == "ada@example.com"
    assert not User.objects.exists()
    assert browser.complaints() == []


def test_an_address_that_is_taken_is_refused_in_another_letter_case(browser: Browser) -> None:
    User.objects.create_user("ada@example.com", PASSWORD, name="Ada")

    browser.open("/accounts/sign-up/")
    browser.fill(email="ADA@Example.com", name="Ada", password=PASSWORD)
    browser.submit()

    browser.wait_for("Log in instead")
    assert User.objects.count() == 1


def test_a_second_click_while_the_first_is_answered_sends_nothing(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_up, asked, second = SignUpForm.sign_up, [], threading.Event()

    def slowly(form: SignUpForm) -> User | None:
        asked.append(form)
        if len(asked) > 1:
            second.set()
        second.wait(2)  # the time that a slow server gives for another click
        return sign_up(form)

    monkeypatch.setattr(SignUpForm, "sign_up", slowly)
    browser.open("/accounts/sign-up/")
    browser.fill(email="ada@example.com", name="Ada", password=PASSWORD)

    browser.driver.execute_script(
        "const button = document.querySelector('main button');"
        "button.click(); setTimeout(() => button.click(), 200)"
    )

    browser.wait_for("Hello Ada")
    assert len(asked) == 1
    assert (User.objects.count(), Job.objects.count()) == (1, 2)


def test_a_double_click_signs_up_once_and_shows_no_error(browser: Browser) -> None:
    browser.open("/accounts/sign-up/")
    browser.fill(email="ada@example.com", name="Ada", password=PASSWORD)

    ActionChains(browser.driver).double_click(browser.find("main button")).perform()

    browser.wait_for("Hello Ada")
    assert (User.objects.count(), Job.objects.count()) == (1, 2)


def test_a_form_can_be_sent_again_after_going_back(browser: Browser) -> None:
    browser.open("/accounts/sign-up/")
    browser.fill(email="ada@example.com", name="Ada", password="12345678")
    browser.submit()
    browser.wait_for("This password is too common")

    browser.driver.back()
    until(lambda: not browser.has("too common"))
    browser.fill(email="ada@example.com", name="Ada", password=PASSWORD)
    browser.submit()

    browser.wait_for("Hello Ada")


def test_the_keyboard_alone_signs_up_and_out(browser: Browser) -> None:
    browser.open("/")
    keys(browser, Keys.TAB)
    skip = browser.driver.switch_to.active_element
    assert skip.text == "Skip to the content"
    assert skip.rect["x"] >= 0, "it is seen when it has the focus"
    keys(browser, Keys.ENTER, Keys.TAB)
    assert focused(browser).endswith("/accounts/sign-up/"), "the first link of the content"
    keys(browser, Keys.ENTER)
    until(lambda: browser.path == "/accounts/sign-up/")
    until(lambda: browser.driver.switch_to.active_element.get_attribute("name") == "email")

    keys(browser, "ada@example.com", Keys.TAB, "Ada", Keys.TAB, PASSWORD, Keys.TAB)
    keys(browser, Keys.SPACE, Keys.TAB, Keys.ENTER)

    browser.wait_for("Hello Ada")
    assert User.objects.get().marketing_consent
    keys(browser, Keys.TAB, Keys.TAB, Keys.TAB)
    assert browser.driver.switch_to.active_element.text == "Log out"
    keys(browser, Keys.ENTER)
    until(lambda: browser.has("Log in") and not browser.has("Hello Ada"))


def keys(browser: Browser, *strokes: str) -> None:
    ActionChains(browser.driver).send_keys(*strokes).perform()


def focused(browser: Browser) -> str:
    element: Any = browser.driver.switch_to.active_element
    return element.get_attribute("href") or ""
