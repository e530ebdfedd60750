"""Nobody gets to a page or an action without its permission. Every route is asked."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from jobs.dashboard import metrics
from jobs.dashboard.routes import ROUTES
from tests.dashboard.addresses import ADDRESSES, name_of, opened
from tests.dashboard.world import make

pytestmark = pytest.mark.django_db

by_route = pytest.mark.parametrize("route", ROUTES, ids=name_of)


@pytest.fixture
def world():
    metrics.forget()
    yield make()
    metrics.forget()


@pytest.fixture
def asked(world):
    """Ask for the first sample of a route by its first method."""

    def ask(client, route, **more):
        address = ADDRESSES[name_of(route)]
        args = [str(world.get(arg, arg)) for arg in address.samples[0]]
        url = reverse(f"admin:jobs_{name_of(route)}", args=args)
        return client.generic(route.methods[0], url, **more)

    return ask


@pytest.fixture
def user(django_user_model):
    def make_user(*codenames, **values):
        user = django_user_model.objects.create_user(email="op@bonfire.example", **values)
        found = Permission.objects.filter(codename__in=codenames, content_type__app_label="jobs")
        assert len(found) == len(codenames), f"no such permission among {codenames}"
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return make_user


def test_each_route_has_a_line_in_the_table_of_addresses_and_each_line_a_route():
    names = [name_of(route) for route in ROUTES]
    assert sorted(names) == sorted(ADDRESSES), "see tests/dashboard/addresses.py"
    assert len(names) == len(set(names))


@by_route
def test_the_table_says_what_the_route_says(route):
    assert f"jobs.{ADDRESSES[name_of(route)].may}" == route.permission.name


@by_route
def test_who_is_not_logged_in_gets_to_the_log_in_page(client, asked, route):
    answer = asked(client, route)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("admin:login"))


@by_route
def test_who_is_not_staff_gets_to_the_log_in_page(user, asked, route):
    answer = asked(user(ADDRESSES[name_of(route)].may), route)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(reverse("admin:login"))


@by_route
def test_staff_without_the_permission_are_refused(user, asked, route):
    others = {address.may for address in ADDRESSES.values()} - {ADDRESSES[name_of(route)].may}
    answer = asked(user(*others, is_staff=True), route)
    assert answer.status_code == 403


@by_route
def test_staff_with_the_permission_are_not(user, asked, route):
    address = ADDRESSES[name_of(route)]
    answer = asked(user(address.may, *address.also, is_staff=True), route)
    assert answer.status_code < 500
    assert answer.status_code != 403


@by_route
def test_the_permission_of_somebody_who_was_shut_out_is_worth_nothing(user, asked, route):
    may = ADDRESSES[name_of(route)].may
    answer = asked(user(may, is_staff=True, is_active=False), route)
    assert answer.status_code == 302


def test_a_form_from_elsewhere_does_nothing(admin_user, world):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    for route, args, _ in opened(world, "POST"):
        answer = client.post(reverse(f"admin:jobs_{name_of(route)}", args=args))
        assert answer.status_code == 403, name_of(route)


def test_a_link_does_nothing_that_is_an_action(admin_client, world):
    for route, args, _ in opened(world, "POST"):
        if "GET" not in route.methods:
            answer = admin_client.get(reverse(f"admin:jobs_{name_of(route)}", args=args))
            # An address of one page may be an action's by another method.
            assert answer.status_code in (200, 404, 405), name_of(route)


def test_every_page_opens_for_an_administrator(admin_client, world):
    wrong = {}
    for route, args, query in opened(world):
        url = reverse(f"admin:jobs_{name_of(route)}", args=args) + query
        status = admin_client.get(url, follow=True).status_code
        if status != ADDRESSES[name_of(route)].status:
            wrong[url] = status
    assert wrong == {}


def test_pages_that_are_open_get_their_parts(admin_client, world):
    for route, args, query in opened(world):
        url = reverse(f"admin:jobs_{name_of(route)}", args=args) + query
        answer = admin_client.get(url, headers={"HX-Request": "true"})
        assert answer.status_code in (200, 302, ADDRESSES[name_of(route)].status), url
        if answer.status_code == 200 and "html" in answer.headers["Content-Type"]:
            assert "<html" not in answer.content.decode(), url
