"""The overview: its numbers, graphs, and what it costs."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from jobs.dashboard import figures, metrics
from jobs.dashboard.figures import PERIODS, Tally, Watch
from jobs.models import Counter, Job, RecurringJob, Server, Span
from jobs.states import State

pytestmark = pytest.mark.django_db
URL = "/hangfire/jobs/job/overview/"


@pytest.fixture(autouse=True)
def _nothing_of_other_tests():
    metrics.forget()
    figures.forget()
    yield
    metrics.forget()
    figures.forget()


def count(name, value, moment, span=Span.MINUTE):
    minute = moment.replace(second=0, microsecond=0)
    Counter.objects.create(span=span, minute=minute, server="s", name=name, value=value)


def test_an_empty_installation_shows_a_whole_page(admin_client):
    page = admin_client.get(URL).content.decode()
    for id in ("tiles", "realtime", "realtime-table", "history", "history-table", "attention"):
        assert f'id="{id}"' in page
    assert "style=" not in page
    assert "<script>" not in page


def test_an_open_page_gets_each_live_part_once(admin_client):
    part = admin_client.get(URL, headers={"HX-Request": "true"}).content.decode()
    assert part.count('hx-swap-oob="true"') == 7  # the navigation and the six of the page
    assert "<details" not in part  # an open table stays open


def test_the_tiles_tell_of_waits_and_run_times(admin_client):
    count("wait<=0.5", 10, timezone.now())
    count("run<=2", 10, timezone.now())
    page = admin_client.get(URL).content.decode()
    assert "350 ms" in page
    assert "1.5 s" in page


def test_failed_attempts_are_seen_beside_the_failed_jobs(admin_client):
    count("failed", 2, timezone.now())
    count("retry", 5, timezone.now())
    page = admin_client.get(URL).content.decode()
    assert "of 7 failed attempts" in page


@pytest.mark.parametrize(("period", "points"), [("day", 24), ("week", 7), ("month", 30)])
def test_each_period_has_its_points(admin_client, period, points):
    page = admin_client.get(URL, {"period": period}).content.decode()
    table = page.partition('id="history-table"')[2].partition("</table>")[0]
    assert table.count('scope="row"') == points
    assert f'href="?period={period}" aria-current="true"' in page


def test_an_unknown_period_is_named_and_the_day_shown(admin_client):
    page = admin_client.get(URL, {"period": "<b>year"})
    assert page.status_code == 200
    assert "no period “&lt;b&gt;year”" in page.content.decode()


def test_a_page_costs_at_most_fifteen_statements(admin_client, django_assert_max_num_queries):
    now = timezone.now()
    for number in range(30):
        Job.objects.create(
            func=f"a.b{number}",
            arguments={"args": [], "kwargs": {}},
            state=list(State)[number % 7],
            queue=f"q{number}",
        )
    Server.objects.create(name="dead", host="h", pid=1, heartbeat_at=now - timedelta(hours=1))
    Server.objects.create(name="live", host="h", pid=2, heartbeat_at=now)
    RecurringJob.objects.create(
        name="r", func="a.b", arguments={"args": [], "kwargs": {}}, queue="q", cron="* * * * *"
    )
    admin_client.get(reverse("admin:jobs_job_state", args=["failed"]))  # compiled, cached
    metrics.forget()
    with django_assert_max_num_queries(15):
        admin_client.get(URL)


def test_tabs_share_what_was_computed(admin_client, django_assert_max_num_queries):
    admin_client.get(URL)
    with django_assert_max_num_queries(2):  # the session and the user
        admin_client.get(URL, headers={"HX-Request": "true"})


def test_who_may_only_see_jobs_sees_the_page_and_no_way_to_what_is_refused(
    client, django_user_model
):
    user = django_user_model.objects.create_user(
        email="op@bonfire.example", password="x", is_staff=True
    )
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    assert client.get("/hangfire/").headers["Location"] == URL
    page = client.get(URL).content.decode()
    links = {
        link for link in re.findall(r'href="(/hangfire/[^"#?]*)', page) if "logout" not in link
    }
    assert links
    for link in links:
        assert client.get(link, follow=True).status_code == 200, link


def test_the_page_and_its_files_are_at_most_250_kilobytes(admin_client):
    from django.contrib.staticfiles import finders

    page = admin_client.get(URL)
    size = len(page.content)
    for name in re.findall(r'(?:href|src)="/static/([^"]+)"', page.content.decode()):
        with open(finders.find(name), "rb") as file:
            size += len(file.read())
    size += len(admin_client.get(reverse("admin:jobs_job_htmx")).content)
    assert size <= 250_000


class TestRealtime:
    NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    MINUTE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def test_what_a_counter_grew_by_happened_since_the_last_look(self):
        watch = Watch()
        watch.look(self.NOW, {self.MINUTE: Tally(succeeded=100)})
        later = self.NOW + timedelta(seconds=2)
        samples = watch.look(later, {self.MINUTE: Tally(succeeded=130)})
        assert samples[-1].end == later
        assert samples[-1].rate("succeeded") == 15

    def test_a_new_minute_continues_the_one_before(self):
        watch = Watch()
        at = datetime(2026, 3, 1, 12, 0, 59, tzinfo=UTC)
        watch.look(at, {self.MINUTE: Tally(succeeded=100)})
        grown = {
            self.MINUTE: Tally(succeeded=104),
            self.MINUTE + timedelta(minutes=1): Tally(succeeded=6),
        }
        assert watch.look(at + timedelta(seconds=2), grown)[-1].rate("succeeded") == 5

    def test_before_the_first_look_there_are_the_means_of_the_minutes(self):
        before = self.MINUTE - timedelta(minutes=1)
        samples = Watch().look(self.NOW, {before: Tally(failed=60), self.MINUTE: Tally(failed=90)})
        assert [sample.rate("failed") for sample in samples] == [1, 3]

    def test_a_long_gap_is_no_point(self):
        watch = Watch()
        watch.look(self.NOW, {self.MINUTE: Tally(succeeded=1)})
        later = self.NOW + timedelta(seconds=600)
        minute = later.replace(second=0)
        samples = watch.look(later, {minute: Tally(succeeded=30)})
        assert samples[-1].start == minute

    def test_counters_that_shrink_are_no_negative_rate(self):
        watch = Watch()
        watch.look(self.NOW, {self.MINUTE: Tally(succeeded=100)})
        later = self.NOW + timedelta(seconds=2)
        assert watch.look(later, {})[-1].rate("succeeded") == 0

    def test_the_window_is_not_longer_than_it_says(self):
        watch = Watch()
        for second in range(0, 400, 2):
            samples = watch.look(self.NOW + timedelta(seconds=second), {})
        assert len(samples) <= figures.WINDOW_SECONDS / 2 + 1


class TestHistory:
    BERLIN = ZoneInfo("Europe/Berlin")

    def test_the_day_on_which_clocks_go_forward_has_23_hours(self):
        now = datetime(2026, 3, 30, 10, 0, tzinfo=UTC)
        steps = figures.history(PERIODS["week"], self.BERLIN, now)
        assert [step.hours for step in steps][-2:] == [23, 13]
        assert steps[-2].start.isoformat() == "2026-03-29T00:00:00+01:00"

    def test_the_day_on_which_clocks_go_back_has_25_hours(self):
        now = datetime(2026, 10, 26, 10, 0, tzinfo=UTC)
        assert figures.history(PERIODS["week"], self.BERLIN, now)[-2].hours == 25

    def test_the_hour_that_comes_twice_is_two_points_that_name_their_zone(self, admin_client):
        from jobs.dashboard.overview import _labels

        now = datetime(2026, 10, 25, 10, 0, tzinfo=UTC)
        labels = _labels(figures.history(PERIODS["day"], self.BERLIN, now), PERIODS["day"])
        assert {"02:00 CEST", "02:00 CET"} <= set(labels)
        assert len(set(labels)) == 24

    def test_an_event_belongs_to_the_day_of_the_users_clocks(self):
        count("succeeded", 7, datetime(2026, 6, 1, 22, 30, tzinfo=UTC))
        now = datetime(2026, 6, 2, 10, 0, tzinfo=UTC)
        steps = figures.history(PERIODS["week"], self.BERLIN, now)
        assert [step.counts["succeeded"] for step in steps][-2:] == [0, 7]

    def test_minutes_and_hours_are_counted_together(self):
        now = datetime(2026, 6, 2, 10, 30, tzinfo=UTC)
        count("failed", 3, now)
        count("failed", 4, datetime(2026, 5, 20, 8, 0, tzinfo=UTC), Span.HOUR)
        steps = figures.history(PERIODS["month"], UTC, now)
        assert sum(step.counts["failed"] for step in steps) == 7
