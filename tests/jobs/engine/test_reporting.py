"""What jobs tell on its way from the worker to the database."""

import threading
import time

import pytest
from django.db import OperationalError

from jobs import reports
from jobs.engine import wire
from jobs.engine.database import Outage
from jobs.engine.reporting import KEPT_LINES, Reporter, Reports
from jobs.outcomes import Told
from jobs.progress import Report
from tests.cluster import until


def told(number, lines=0):
    return Told(number, 1, 0.0, 1.0, 2.0, "", [(0.0, 20, "x")] * lines, lines, 0)


class Line:
    """Where a reporter sends to; `takes`: whether there is anybody."""

    def __init__(self):
        self.takes, self.got = True, []

    def send(self, data):
        if self.takes:
            inbox = wire.Inbox()
            inbox.feed(data)
            self.got += [Told(*message[1]) for message in inbox]
        return self.takes


@pytest.fixture
def line():
    return Line()


@pytest.fixture
def reporter(line):
    return Reporter(line.send, lambda token: token == "running")


def open_report(reporter, token="running"):
    return reporter.open(Report(7, 1, token))


def test_a_job_that_tells_nothing_starts_no_thread(reporter):
    threads = threading.active_count()
    assert not reporter.is_open
    assert threading.active_count() == threads


def test_the_first_thing_is_passed_on_at_once_and_the_rest_with_the_end(reporter, line):
    report = open_report(reporter)
    report.log("first", 20)
    until(lambda: line.got, 5)
    report.log("second", 20)
    report.progress(1, 2, "half")
    assert len(line.got) == 1
    reporter.close()
    assert [text for one in line.got for _, _, text in one.lines] == ["first", "second"]
    assert line.got[-1].done == 1
    assert not reporter.is_open


def test_two_threads_that_begin_at_the_same_time_have_one_report(reporter):
    assert open_report(reporter) is open_report(reporter)


def test_a_thread_that_an_earlier_job_left_tells_nobody(reporter, line):
    late = open_report(reporter, "earlier")
    late.log("late", 20)
    report = open_report(reporter)
    report.log("mine", 20)
    reporter.close()
    assert [text for one in line.got for _, _, text in one.lines] == ["mine"]


def test_what_nobody_took_is_sent_again(reporter, line):
    line.takes = False
    report = open_report(reporter)
    report.log("before", 20)
    time.sleep(0.1)
    line.takes = True
    report.log("after", 20)
    reporter.close()
    assert [text for one in line.got for _, _, text in one.lines] == ["before", "after"]


@pytest.fixture
def written(monkeypatch):
    """What was written, and whether anything can be."""

    class Written(list):
        works = True

    found = Written()

    def write(every):
        if not found.works:
            raise OperationalError("away")
        found.extend(every)

    monkeypatch.setattr(reports, "write", write)
    return found


def test_reports_wait_a_moment_for_others():
    held = Reports(Outage("test"))
    assert held.wait() is None
    held.add([told(1)])
    assert 0 < held.wait() <= 0.1


@pytest.mark.django_db
def test_while_they_can_t_be_written_they_are_kept(written):
    held = Reports(Outage("test"))
    held.add([told(1)])
    written.works = False
    held.flush()
    assert held.wait() > 0
    written.works = True
    until(lambda: held.wait() <= 0, 5)
    held.flush()
    assert [one.id for one in written] == [1]
    assert held.wait() is None


@pytest.mark.django_db
def test_of_too_many_the_oldest_are_dropped_with_one_line_in_the_log(written, caplog):
    held = Reports(Outage("test"))
    for number in range(5):
        held.add([told(number, lines=KEPT_LINES // 2)])
    held.flush()
    assert [one.id for one in written] == [4]
    assert len([r for r in caplog.records if "is dropped" in r.message]) == 1
