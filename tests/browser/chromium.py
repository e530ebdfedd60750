"""A headless Chromium, and what somebody does with it."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.core.management import call_command
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.cluster import until

PASSWORD = "correct-horse-9"
STAFF = ("admin@bonfire.example", PASSWORD)
#: What Chromium says of an answer with an error status that the page means to give.
MEANT = "the server responded with a status of 422"


def missing() -> str:
    """Return why no browser can be driven here, or ""."""
    programs = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return f"not installed: {', '.join(programs)}" if programs else ""


class Browser:
    """What somebody does with a browser on the site at `address`."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, path: str) -> None:
        self.driver.get(f"{self.address}{path}")

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.address)

    @property
    def text(self) -> str:
        """The visible text of the page, or "" in the moment between two pages."""
        return str(
            self.driver.execute_script("return document.body ? document.body.innerText : ''")
        )

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def has(self, text: str) -> bool:
        return text in self.text

    def wait_for(self, text: str) -> None:
        until(lambda: self.has(text), message=f"{text!r} is not on {self.driver.current_url}")

    def reload_until(self, text: str) -> None:
        """Load the page anew until it holds `text`."""

        def look() -> bool:
            self.driver.refresh()
            return self.has(text)

        until(look, message=f"{text!r} did not come to {self.driver.current_url}")

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            element = self.find(f"[name={name}]")
            element.clear()
            element.send_keys(value)

    def submit(self) -> None:
        self.find("main button").click()

    def sign_up(self, email: str, name: str = "Ada") -> None:
        self.open("/accounts/sign-up/")
        self.fill(email=email, name=name, password=PASSWORD)
        self.submit()
        self.wait_for(name)

    def log_in_as_staff(self) -> None:
        call_command("demo", password=PASSWORD)
        self.driver.delete_all_cookies()
        self.open("/admin/login/?next=/admin/")
        self.fill(username=STAFF[0], password=STAFF[1])
        self.find("[type=submit]").click()
        until(lambda: "/login/" not in self.path)

    def width(self, pixels: int) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": pixels, "height": 844, "deviceScaleFactor": 1, "mobile": False},
        )

    def colours(self, scheme: str) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )

    def complaints(self) -> list[str]:
        """What the console says: errors of scripts, violated policies, files not found."""
        entries = self.driver.get_log("browser")
        said = [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
        return [message for message in said if MEANT not in message]


def start(folder: Path, language: str) -> webdriver.Chrome:
    """Start a browser with its profile in `folder`."""
    chosen = webdriver.ChromeOptions()
    chosen.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--lang={language}",
        f"--user-data-dir={folder}",
    ):
        chosen.add_argument(argument)
    chosen.add_experimental_option("prefs", {"intl.accept_languages": language})
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # The driver is named: selenium would download one otherwise.
    service = Service(executable_path=shutil.which("chromedriver"))
    return webdriver.Chrome(options=chosen, service=service)
