"""Every page of the dashboard in a real browser: light, dark, and on a phone.

Nothing in the console, nothing wider than the window, and nothing that axe finds.
"""

from __future__ import annotations

from typing import Any

import pytest
from axe_selenium_python import Axe
from django.urls import reverse

from jobs.dashboard import metrics
from tests.browser.chromium import Browser
from tests.dashboard.addresses import ADDRESSES, name_of, opened
from tests.dashboard.world import make

#: How a page is looked at: the colours asked for, and the width of the window in pixels.
LOOKS = {"light": ("light", 1440), "dark": ("dark", 1440), "phone": ("light", 390)}
#: WCAG 2.2, level AA.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@pytest.fixture
def pages(browser: Browser) -> list[str]:
    """The addresses of all pages; something is to be seen on each."""
    metrics.forget()
    world = make()
    return [
        reverse(f"admin:jobs_{name_of(route)}", args=args) + query
        for route, args, query in opened(world)
        # The console tells of other statuses.
        if ADDRESSES[name_of(route)].status == 200 and not ADDRESSES[name_of(route)].is_part
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_quiet_fits_and_is_accessible(
    browser: Browser, pages: list[str], look: str
) -> None:
    scheme, width = LOOKS[look]
    browser.width(width)
    browser.colours(scheme)
    browser.log_in_as_staff()
    browser.complaints()  # those of the pages before

    found = [f"{page} {fault}" for page in pages for fault in faults(browser, page, width)]

    assert not found, "\n".join(found)


def faults(browser: Browser, page: str, width: int) -> list[str]:
    """Open a page and return all that is wrong with it."""
    browser.open(page)
    if browser.driver.execute_script("return document.contentType") != "text/html":
        return []
    # The log-in page is Django's, and has no icon.
    found = [said for said in browser.complaints() if "/favicon.ico" not in said]
    if (wide := browser.driver.execute_script(WIDTH)) > width:
        found.append(f"{wide} px wide: {browser.driver.execute_script(WIDEST, width)}")
    return found + violations(browser)


WIDTH = "return document.documentElement.scrollWidth"
#: What sticks out, without what scrolls in its own box.
WIDEST = """
const inner = e => e.closest(".scroll, table, nav, pre");
return [...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > arguments[0] && !inner(e))
  .slice(0, 3).map(e => e.outerHTML.slice(0, 120));
"""


def violations(browser: Browser) -> list[str]:
    """Return what axe finds, with the places."""
    axe = Axe(browser.driver)
    axe.inject()
    results: dict[str, Any] = axe.run(options=RULES)
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in results["violations"]
    ]
