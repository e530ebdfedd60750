"""Each page fits a phone, has readable colours, labels and headings, and a quiet console."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives

import jobs
from accounts.models import User
from config import mailbox
from tests.browser.chromium import Browser
from tests.cluster import until

PUBLIC = ["/", "/accounts/sign-up/", "/accounts/log-in/", "/mailbox/", "<mail>"]
STAFF = [
    "/admin/",
    "/admin/jobs/job/",
    "<job>",
    "/admin/jobs/server/",
    "/admin/jobs/queue/",
    "/admin/accounts/user/",
    "/admin/accounts/user/add/",
    "<user>",
    "<password>",
    "/admin/accounts/sentmail/",
]
LONG = "a.long.address.that.no.screen.is.wide.enough.for.at.all@subdomain.of.example.com"

#: Finds text with too little contrast, by the formula of WCAG 2.2, on the nearest background.
CONTRAST = """
const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
  .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const ground = e => {
  for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
};
const bad = [];
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.offsetParent) continue;
  const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
  const ratio = (a + .05) / (b + .05);
  if (ratio < 4.5) bad.push(`${e.textContent.trim()}: ${ratio.toFixed(2)}`);
}
return bad;
"""

#: Finds what a screen reader or a finger would stumble over.
STRUCTURE = """
const bad = [];
if (!document.documentElement.lang) bad.push("no lang");
if (!document.title) bad.push("no title");
if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
if (document.querySelectorAll("main").length !== 1) bad.push("not one main");
let level = 0;
for (const h of document.querySelectorAll("h1, h2, h3, h4")) {
  if (h.tagName[1] - level > 1) bad.push(`${h.tagName} after H${level}`);
  level = +h.tagName[1];
}
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
if (new Set(ids).size !== ids.length) bad.push("an id twice");
for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
  if (!e.labels.length && !e.ariaLabel) bad.push(`${e.name} has no label`);
  for (const id of (e.getAttribute("aria-describedby") || "").split(" ").filter(Boolean))
    if (!document.getElementById(id)) bad.push(`${e.name} is described by #${id}, which is not there`);
}
for (const e of document.querySelectorAll("a, button, input:not([type=hidden])")) {
  const box = e.getBoundingClientRect();
  const sentence = e.tagName === "A" && getComputedStyle(e).display === "inline";
  if (box.height < 24 && !sentence && box.x >= 0) bad.push(`${e.textContent || e.name} is ${box.height} px high`);
}
return bad;
"""


@pytest.fixture
def addresses(browser: Browser, settings: Any) -> dict[str, str]:
    """Something to be seen on each page, and the addresses that depend on it."""
    user = User.objects.create_user(LONG, name="Somebody with " + "a long name " * 8)
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = settings.MAIL_DIR
    job = jobs.enqueue("accounts.tasks.send_welcome_email", user.pk)
    jobs.enqueue("tests.functions.fail", "x" * 300)
    jobs.testing.drain()
    message = EmailMultiAlternatives("A" * 120, "B" * 200, to=[LONG])
    message.send()
    mail = next(mail for mail in mailbox.read(Path(settings.MAIL_DIR)) if mail.html)
    return {
        "<mail>": f"/mailbox/{mail.key}/",
        "<job>": f"/admin/jobs/job/{job.pk}/change/",
        "<user>": f"/admin/accounts/user/{user.pk}/change/",
        "<password>": f"/admin/accounts/user/{user.pk}/password/",
    }


def too_wide(browser: Browser) -> int:
    return int(browser.driver.execute_script("return document.documentElement.scrollWidth"))


def test_no_page_is_wider_than_a_phone(browser: Browser, addresses: dict[str, str]) -> None:
    browser.width(390)
    wide = {}
    for page in PUBLIC:
        browser.open(addresses.get(page, page))
        wide[page] = too_wide(browser)
    browser.sign_up("ada@example.com", "Ada " + "Lovelace" * 12)
    wide["/ after the sign-up"] = too_wide(browser)
    browser.log_in_as_staff()
    for page in STAFF:
        browser.open(addresses.get(page, page))
        wide[page] = too_wide(browser)

    assert {page: width for page, width in wide.items() if width > 390} == {}


def test_no_page_has_anything_to_complain_about(
    browser: Browser, addresses: dict[str, str]
) -> None:
    said = {}
    for page in PUBLIC:
        browser.open(addresses.get(page, page))
        said[page] = browser.complaints()
    browser.log_in_as_staff()
    for page in STAFF:
        browser.open(addresses.get(page, page))
        said[page] = browser.complaints()

    assert {page: messages for page, messages in said.items() if messages} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(browser: Browser, addresses: dict[str, str], scheme: str) -> None:
    browser.colours(scheme)

    assert on_each_page(browser, addresses, CONTRAST) == {}


def test_pages_can_be_used_by_ear_and_by_finger(
    browser: Browser, addresses: dict[str, str]
) -> None:
    pages = [page for page in PUBLIC if page != "<mail>"]  # a mail has no landmarks

    assert on_each_page(browser, addresses, STRUCTURE, pages) == {}


def on_each_page(
    browser: Browser, addresses: dict[str, str], script: str, pages: list[str] = PUBLIC
) -> dict[str, list[str]]:
    """Return what `script` finds on the pages, on forms with errors, and after a sign-up."""
    found = {}
    for page in pages:
        browser.open(addresses.get(page, page))
        found[page] = browser.driver.execute_script(script)
    for page in ("/accounts/sign-up/", "/accounts/log-in/"):
        browser.open(page)
        if "log-in" in page:
            browser.fill(username="nobody@example.com", password="wrong")
        browser.submit()
        until(lambda: browser.driver.title.startswith("Error"))
        found[f"{page} with errors"] = browser.driver.execute_script(script)
    browser.open("/accounts/log-in/")
    browser.driver.delete_all_cookies()
    browser.submit()
    browser.wait_for("Please send the form again")
    found["a form without its cookie"] = browser.driver.execute_script(script)
    browser.sign_up("ada@example.com")
    found["/ after the sign-up"] = browser.driver.execute_script(script)
    return {page: list(problems) for page, problems in found.items() if problems}
