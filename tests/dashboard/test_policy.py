"""All pages work under a strict Content-Security-Policy."""

from html.parser import HTMLParser

import pytest
from django.urls import reverse

from jobs.dashboard import metrics
from tests.dashboard.addresses import name_of, opened
from tests.dashboard.world import make

pytestmark = pytest.mark.django_db


class Inline(HTMLParser):
    """Finds what such a policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            inline = name == "style" or name.startswith(("on", "hx-on"))
            address = name in ("href", "src", "action") and value
            if inline or (address and _is_foreign(address)):
                self.found.append(f"<{tag} {name}={value!r}>")


def _is_foreign(address: str) -> bool:
    return address.startswith(("javascript:", "data:text", "http://", "https://", "//"))


@pytest.mark.parametrize(
    "text",
    [
        "<p style='color: red'>",
        "<script>1</script>",
        "<style></style>",
        "<a onclick=x>",
        "<a href='javascript:x'>",
        "<script src='https://cdn.example/x.js'></script>",
    ],
)
def test_it_would_be_found(text):
    assert Inline(text).found


@pytest.mark.parametrize("live", [False, True])
def test_no_page_has_anything_inline_or_foreign(admin_client, live):
    metrics.forget()
    world, bad = make(), {}
    headers = {"HX-Request": "true"} if live else {}
    for route, args, query in opened(world):
        url = reverse(f"admin:jobs_{name_of(route)}", args=args) + query
        answer = admin_client.get(url, headers=headers, follow=True)
        if "html" in answer.headers["Content-Type"] and (
            found := Inline(answer.content.decode()).found
        ):
            bad[url] = found
    assert bad == {}


def test_every_page_sends_the_policy(admin_client):
    world = make()
    for route, args, query in opened(world):
        url = reverse(f"admin:jobs_{name_of(route)}", args=args) + query
        policy = admin_client.get(url).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'"), url
        assert "unsafe" not in policy, url
