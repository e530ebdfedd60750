"""When recurring jobs are due: laws at clock changes, and what becomes of what was missed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.exceptions import InvalidSchedule
from jobs.recurrence import Misfire, Schedule, plan, schedule_for

MINUTE = timedelta(minutes=1)
#: Zones and days around which their clocks were set, and days without that.
CHANGES = {
    "Europe/Berlin": ["2026-03-29", "2026-10-25", "2026-12-31", "2028-02-29"],
    "America/New_York": ["2026-03-08", "2026-11-01", "2026-12-31", "2028-02-29"],
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04", "2026-12-31"],  # half an hour
    "Asia/Kathmandu": ["1986-01-01", "2028-02-29"],  # a quarter, once
    "Pacific/Apia": ["2011-12-30", "2012-04-01"],  # a day that never was
    "America/Sao_Paulo": ["2018-02-18", "2018-11-04"],  # at midnight
}
WINDOW = timedelta(days=4)


@st.composite
def windows(draw):
    """A zone and a moment from which four days hold one of its changes."""
    zone = draw(st.sampled_from(sorted(CHANGES)))
    day = datetime.fromisoformat(draw(st.sampled_from(CHANGES[zone]))).replace(tzinfo=UTC)
    return zone, day - timedelta(minutes=draw(st.integers(0, 2 * 24 * 60)))


def numbers(limit, *, favoured=()):
    """A cron field that lists numbers, and these numbers."""
    some = st.integers(0, limit) | st.sampled_from(favoured or [0])
    return st.sets(some, min_size=1, max_size=3).map(lambda s: (",".join(map(str, sorted(s))), s))


def steps(limit):
    """A cron field that begins with a star, and the numbers it means."""
    return st.integers(1, limit).map(
        lambda n: ("*" if n == 1 else f"*/{n}", set(range(0, limit + 1, n)))
    )


minutes, hours = numbers(59), numbers(23, favoured=[0, 1, 2, 3])
weekdays = st.just(("*", set(range(7)))) | numbers(6)
interval = st.tuples(steps(59), steps(23) | hours) | st.tuples(minutes, steps(23))


def within(schedule, start):
    return list(takewhile(lambda moment: moment <= start + WINDOW, schedule.after(start)))


def each_minute(start, end):
    moment = start
    while (moment := moment + MINUTE) <= end:
        yield moment


def sunday_first(moment):
    return moment.isoweekday() % 7


@settings(max_examples=80, deadline=None)
@given(windows(), minutes, hours, weekdays)
def test_a_job_at_a_fixed_time_runs_once_a_day_when_the_clock_first_shows_it_or_jumps_over_it(
    window, minute, hour, weekday
):
    name, start = window
    zone = ZoneInfo(name)
    days = {(start + timedelta(days=d)).date() for d in range(-1, 6)}
    wanted = [
        datetime(day.year, day.month, day.day, h, m)
        for day in sorted(days)
        if sunday_first(day) in weekday[1]
        for h in sorted(hour[1])
        for m in sorted(minute[1])
    ]
    expected = set()
    for moment in each_minute(start - timedelta(days=3), start + WINDOW):
        shown = moment.astimezone(zone).replace(tzinfo=None)
        while wanted and wanted[0] <= shown:
            expected.add(moment)
            del wanted[0]

    found = within(Schedule(f"{minute[0]} {hour[0]} * * {weekday[0]}", name), start)

    assert found == sorted(moment for moment in expected if moment > start)


@settings(max_examples=80, deadline=None)
@given(windows(), interval)
def test_every_other_job_runs_whenever_the_clock_shows_a_matching_time(window, fields):
    name, start = window
    (minute, minutes_meant), (hour, hours_meant) = fields
    zone = ZoneInfo(name)

    found = within(Schedule(f"{minute} {hour} * * *", name), start)

    shown = [(moment, moment.astimezone(zone)) for moment in each_minute(start, start + WINDOW)]
    assert found == [u for u, s in shown if s.minute in minutes_meant and s.hour in hours_meant]


@settings(max_examples=50, deadline=None)
@given(windows(), st.sampled_from([1, 3, 5, 15]))
def test_an_interval_is_neither_longer_nor_shorter_when_clocks_are_set(window, every):
    name, start = window

    found = within(Schedule(f"*/{every} * * * *", name), start)

    assert {b - a for a, b in pairwise(found)} == {timedelta(minutes=every)}


@settings(max_examples=50, deadline=None)
@given(windows(), minutes, hours, st.integers(0, 4 * 24 * 3600))
def test_going_on_from_any_moment_gives_the_same_occurrences(window, minute, hour, seconds):
    name, start = window
    schedule = Schedule(f"{minute[0]} {hour[0]} * * *", name)
    moment = start + timedelta(seconds=seconds, milliseconds=250)

    assert within(schedule, start) == [
        *(o for o in within(schedule, start) if o <= moment),
        *(o for o in schedule.upcoming(moment, 100) if o <= start + WINDOW),
    ]


@settings(max_examples=50, deadline=None)
@given(windows(), interval, st.integers(1, 4 * 24 * 60))
def test_the_latest_is_the_last_of_all(window, fields, length):
    name, start = window
    schedule = Schedule(f"{fields[0][0]} {fields[1][0]} * * *", name)
    end = start + timedelta(minutes=length)
    known = [o for o in within(schedule, start) if o < end]

    assert schedule.latest(after=start, before=end) == (known[-1] if known else None)


def test_a_sixth_field_counts_seconds_and_changes_no_rule():
    schedule = Schedule("30 30 2 * * *", "Europe/Berlin")

    found = schedule.upcoming(datetime(2026, 3, 28, tzinfo=UTC), 3)

    shown = [moment.astimezone(schedule.zone).isoformat(" ") for moment in found]
    assert shown == [
        "2026-03-28 02:30:30+01:00",
        "2026-03-29 03:00:00+02:00",
        "2026-03-30 02:30:30+02:00",
    ]


@pytest.mark.parametrize(
    ("cron", "days"),
    [
        ("30 23 L * *", ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]),
        ("0 9 LW * *", ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31"]),
        ("0 9 * * MON#1", ["2027-12-06", "2028-01-03", "2028-02-07", "2028-03-06"]),
        ("0 9 * * 5L", ["2027-12-31", "2028-01-28", "2028-02-25", "2028-03-31"]),
        ("0 9 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"]),
        ("0 0 1 1 *", ["2028-01-01", "2029-01-01", "2030-01-01", "2031-01-01"]),
    ],
)
def test_last_days_weekdays_and_leap_days(cron, days):
    schedule = Schedule(cron, "America/New_York")

    found = schedule.upcoming(datetime(2027, 12, 2, tzinfo=UTC), 4)

    assert [f"{moment.astimezone(schedule.zone):%F}" for moment in found] == days


@pytest.mark.parametrize(
    ("cron", "time_zone", "field", "message"),
    [
        ("61 * * * *", "UTC", "cron", "cron='61 * * * *' has a bad minute."),
        ("* 24 * * *", "UTC", "cron", "has a bad hour"),
        ("* * * 13 *", "UTC", "cron", "has a bad month"),
        ("* * * * 8", "UTC", "cron", "has a bad day-of-week"),
        ("* * 0 * *", "UTC", "cron", "has a bad day-of-month"),
        ("99 * * * * *", "UTC", "cron", "has a bad second"),
        ("* * * *", "UTC", "cron", "must have five fields"),
        ("", "UTC", "cron", "must be text"),
        (None, "UTC", "cron", "must be text"),
        ("0 " * 200, "UTC", "cron", "at most 255 characters"),
        ("0 0 31 2 *", "UTC", "cron", "names a date that never comes"),
        ("0 0 31 4,6,9 *", "UTC", "cron", "names a date that never comes"),
        ("0 0 * * *", "Europe/Berln", "time_zone", "did you mean 'Europe/Berlin'?"),
        ("0 0 * * *", "Europe", "time_zone", "is not the IANA name"),
        ("0 0 * * *", "../UTC", "time_zone", "is not the IANA name"),
        ("0 0 * * *", "\0", "time_zone", "is not the IANA name"),
        ("0 0 * * *", "x" * 5000, "time_zone", "is not the IANA name"),
        ("0 0 * * *", "", "time_zone", "must be the IANA name"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(cron, time_zone, field, message):
    with pytest.raises(InvalidSchedule) as caught:
        Schedule(cron, time_zone)

    assert message in str(caught.value)
    assert caught.value.field == field


@given(st.text(alphabet="0123456789*/,-#LW MONFEBJ", max_size=30))
def test_any_text_is_either_refused_or_comes_again(text):
    try:
        schedule = Schedule(text, "UTC")
    except InvalidSchedule:
        return
    assert schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC))


# Misfires

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
minutely = Schedule("* * * * *", "UTC")


def passes(next_run, as_of, misfire, *, schedule=minutely, grace_seconds=60, limit=1000):
    """Plan as often as something is due; return the passes and the next run after them."""
    made = []
    while next_run <= as_of:
        chosen, following = plan(
            schedule, next_run, as_of, misfire=misfire, grace_seconds=grace_seconds, limit=limit
        )
        assert following > next_run
        made.append(chosen)
        next_run = following
    return made, next_run


@pytest.mark.parametrize("misfire", Misfire)
def test_an_occurrence_within_the_grace_always_runs(misfire):
    made, next_run = passes(NOON, NOON + timedelta(seconds=60), misfire)

    assert made == [[NOON, NOON + MINUTE]]
    assert next_run == NOON + 2 * MINUTE


ASLEEP = NOON + timedelta(days=30) + timedelta(seconds=61)
ON_TIME = [NOON + timedelta(days=30, minutes=1)]


def test_thirty_days_asleep_with_a_job_each_minute_once():
    made, next_run = passes(NOON, ASLEEP, Misfire.ONCE)

    assert made == [[NOON + timedelta(days=30), *ON_TIME]]
    assert next_run == ON_TIME[0] + MINUTE


def test_thirty_days_asleep_with_a_job_each_minute_all():
    made, next_run = passes(NOON, ASLEEP, Misfire.ALL)

    assert [len(chosen) for chosen in made] == [1000] * 43 + [202]
    flat = [occurrence for chosen in made for occurrence in chosen]
    assert flat == [NOON + n * MINUTE for n in range(43_202)], (
        "43,200, one more and the one on time"
    )
    assert next_run == ON_TIME[0] + MINUTE


def test_thirty_days_asleep_with_a_job_each_minute_skip():
    made, next_run = passes(NOON, ASLEEP, Misfire.SKIP)

    assert made == [ON_TIME]
    assert next_run == ON_TIME[0] + MINUTE


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "0 */3 * * *", "15 4 * * *", "*/20 * * * * *"]),
    st.integers(0, 5 * 24 * 3600),
    st.integers(1, 600),
    st.integers(1, 50),
)
@settings(max_examples=60, deadline=None)
def test_in_all_modes_passes_go_on_where_the_last_ended(cron, slept, grace, limit):
    schedule = Schedule(cron, "Europe/Berlin")
    first = schedule.next_after(NOON)
    as_of = first + timedelta(seconds=slept)
    due = [first, *takewhile(lambda o: o <= as_of, schedule.after(first))]
    missed = [o for o in due if o < as_of - timedelta(seconds=grace)]
    on_time = due[len(missed) :]
    expected = {Misfire.ALL: due, Misfire.ONCE: missed[-1:] + on_time, Misfire.SKIP: on_time}

    for misfire, occurrences in expected.items():
        made, next_run = passes(
            first, as_of, misfire, schedule=schedule, grace_seconds=grace, limit=limit
        )
        assert [o for chosen in made for o in chosen] == occurrences
        assert all(len(chosen) <= limit for chosen in made)
        assert next_run == schedule.next_after(as_of)


def test_a_next_run_that_is_not_on_the_schedule_still_stands():
    odd = NOON + timedelta(seconds=7)

    assert plan(minutely, odd, odd, misfire="once", grace_seconds=60) == ([odd], NOON + MINUTE)
    late = plan(Schedule("0 0 1 1 *", "UTC"), odd, ASLEEP, misfire="once", grace_seconds=60)
    assert late.occurrences == [odd]


# Intervals


def every(text, start="2026-01-31T12:00:00+00:00", time_zone="Europe/Berlin"):
    return schedule_for(f"every {text} from {start}", time_zone)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45 minutes", ["01-31 12:00", "01-31 12:45", "01-31 13:30"]),
        ("1 days", ["01-31 12:00", "02-01 12:00", "02-02 12:00"]),
        ("4 weeks", ["01-31 12:00", "02-28 12:00", "03-28 12:00", "04-25 11:00"]),
        ("1 month", ["01-31 12:00", "02-28 12:00", "03-31 11:00", "04-30 11:00", "05-31 11:00"]),
        ("5 months", ["01-31 12:00", "06-30 11:00", "11-30 12:00", "04-30 11:00"]),
    ],
)
def test_an_interval_counts_from_its_start_and_keeps_to_the_clock_from_days_up(text, expected):
    schedule = every(text)
    found = schedule.upcoming(datetime(2026, 1, 1, tzinfo=UTC), len(expected))

    assert [f"{moment:%m-%d %H:%M}" for moment in found] == expected


def test_a_year_from_a_leap_day_is_the_end_of_february():
    found = every("1 years", "2024-02-29T00:00:00+00:00", "UTC").upcoming(
        datetime(2024, 3, 1, tzinfo=UTC), 4
    )

    assert [f"{moment:%Y-%m-%d}" for moment in found] == [
        *("2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"),
    ]


units = st.sampled_from(["minutes", "hours", "days", "weeks", "months", "years"])
moments = st.datetimes(datetime(2020, 1, 1), datetime(2034, 1, 1), timezones=st.just(UTC))


@given(st.integers(1, 90), units, moments, moments, st.sampled_from(["UTC", "Europe/Berlin"]))
def test_going_on_from_any_moment_an_interval_leaves_nothing_out(number, unit, start, moment, zone):
    schedule = every(f"{number} {unit}", start.isoformat(), zone)
    first, second, third = schedule.upcoming(moment, 3)

    assert moment < first < second < third
    assert schedule.next_after(first) == second
    assert schedule.latest(after=start - timedelta(1), before=second) in (first, start)
    if moment < start:
        assert first == start
    else:
        longest = {"months": 31, "years": 366, "weeks": 7}.get(unit, 1) * number
        assert first - moment <= timedelta(days=longest, hours=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("every 2 weeks", "must be like 'every 2 weeks from"),
        ("every two weeks from 2026-01-05T09:00:00+00:00", "a whole number from 1 to 100000"),
        ("every 0 weeks from 2026-01-05T09:00:00+00:00", "a whole number from 1 to 100000"),
        (f"every {'9' * 5000} weeks from x", "at most 255 characters"),
        ("every 2 moons from 2026-01-05T09:00:00+00:00", "minutes, hours, days, weeks"),
        ("every 2 weeks from 2026-01-05T09:00:00", "must have a moment after 'from'"),
        ("every 2 weeks from 0001-01-01T00:00:00+14:00", "must have a moment after 'from'"),
        ("every 2 weeks from 9999-12-31T23:59:59-12:00", "must have a moment after 'from'"),
        ("every 2 weeks from yesterday", "must have a moment after 'from'"),
    ],
)
def test_an_interval_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(InvalidSchedule) as caught:
        schedule_for(text, "UTC")

    assert (caught.value.field, message in str(caught.value)) == ("cron", True)


def test_an_interval_ends_with_the_calendar():
    schedule = every("90000 years", time_zone="UTC")

    assert schedule.next_after(datetime(2026, 2, 1, tzinfo=UTC)) is None
