"""In a foreign project with Django's own admin site, the app alone brings the same pages."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.cluster import ROOT
from tests.dashboard.addresses import ADDRESSES, opened


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("TEST_")},
        "DJANGO_SETTINGS_MODULE": "tests.stock.settings",
        "STOCK_DATABASE": str(folder / "stock.sqlite3"),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.stock"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_every_page_is_there_under_the_admin_s_own_path(told):
    pages = told["pages"]
    assert {url for url in pages if not url.startswith("/back-office/jobs/")} == set()
    wrong = {url: got for url, (name, got, _) in pages.items() if got != ADDRESSES[name].status}
    assert wrong == {}
    asked = {name for name, _, _ in pages.values()}
    assert asked == {name for name in ADDRESSES if _is_page(name)}


def _is_page(name):
    return any(name == f"{r.model._meta.model_name}_{r.name}" for r, _, _ in opened({}))


def test_no_link_there_leads_to_this_project_s_paths(told):
    for url, (_, _, text) in told["pages"].items():
        links = re.findall(r'(?:href|action|src|data-live)="(/[^"]*)"', text)
        foreign = [link for link in links if not link.startswith(("/back-office/", "/static/"))]
        assert [link for link in foreign if link != "/"] == [], url


def test_its_index_leads_to_the_dashboard(told):
    assert 'href="/back-office/jobs/job/"' in told["index"]
