"""Which settings are in force."""

import os

import pytest

from jobs.conf import conf

THEIRS = {"recycle": 500, "workers": 3, "timeout": 60, "max_rss": 1000, "name": "theirs"}


@pytest.fixture(autouse=True)
def _q_cluster(settings):
    settings.Q_CLUSTER = THEIRS
    settings.JOBS = {}


def test_q_cluster_counts_where_jobs_says_nothing():
    assert (conf.RECYCLE_JOBS, conf.WORKERS, conf.NAME) == (500, 3, "theirs")


def test_jobs_wins(settings):
    settings.JOBS = {"RECYCLE_JOBS": 7, "WORKERS": 2, "NAME": "ours"}

    assert (conf.RECYCLE_JOBS, conf.WORKERS, conf.NAME) == (7, 2, "ours")


def test_none_wins_where_it_is_a_value(settings):
    settings.JOBS = {"RECYCLE_JOBS": None, "TIMEOUT_SECONDS": None, "MAX_RSS_KB": None}

    assert (conf.RECYCLE_JOBS, conf.TIMEOUT_SECONDS, conf.MAX_RSS_KB) == (None, None, None)


def test_no_number_of_workers_means_one_for_each_processor(settings):
    settings.JOBS = {"WORKERS": None}

    assert os.cpu_count() == conf.WORKERS


def test_none_is_nothing_where_it_is_no_value(settings):
    settings.JOBS = {"MAX_RETRIES": None, "NAME": None}

    assert (conf.MAX_RETRIES, conf.NAME) == (10, "theirs")
