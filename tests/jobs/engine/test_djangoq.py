"""What we take from inside django-q2 is still as we think."""

import inspect
import multiprocessing
import signal

import django_q
import pytest
from django_q.conf import Conf
from django_q.monitor import save_cached
from django_q.signals import post_execute_in_worker, post_spawn, pre_execute
from django_q.tasks import async_chain
from django_q.worker import worker

from jobs.engine import djangoq


class Tasks:
    def __init__(self, *tasks):
        self.tasks = list(tasks)

    def get(self):
        return self.tasks.pop(0) if self.tasks else djangoq.STOP


class Outcomes(list):
    put = list.append


def task(func):
    return {"id": "1", "name": "#1", "func": func, "args": (), "kwargs": {}}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(Conf, "RECYCLE", Conf.RECYCLE)
    monkeypatch.setattr(Conf, "MAX_RSS", Conf.MAX_RSS)
    # The loop closes connections between tasks, as it should in a worker.
    monkeypatch.setattr("django_q.worker.close_old_django_connections", lambda: None)


@pytest.fixture
def signals():
    kept = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    yield
    for signum, handler in kept.items():
        signal.signal(signum, handler)


def test_it_is_the_version_we_know():
    assert tuple(django_q.VERSION)[:2] == (1, 11)


def test_the_worker_has_the_parameters_we_give():
    assert list(inspect.signature(worker).parameters) == [
        "task_queue",
        "result_queue",
        "timer",
        "timeout",
    ]


def test_conf_has_the_attributes_we_set():
    assert hasattr(Conf, "RECYCLE")
    assert hasattr(Conf, "MAX_RSS")


def test_configure_sets_what_the_worker_reads():
    djangoq.configure(recycle_jobs=7, max_rss_kb=8)

    assert (Conf.RECYCLE, Conf.MAX_RSS) == (7, 8)


def test_the_context_makes_processes():
    assert issubclass(djangoq.get_mp_context().Process, multiprocessing.process.BaseProcess)


def test_a_cluster_has_the_attributes_we_use(signals):
    cluster = djangoq.Cluster()

    assert isinstance(cluster.host, str)
    assert cluster.pid == multiprocessing.current_process().pid
    assert cluster.sentinel is None
    assert isinstance(djangoq.Cluster.name, property)


def test_a_cluster_leads_its_signals_to_sig_handler(signals):
    cluster = djangoq.Cluster()

    assert signal.getsignal(signal.SIGTERM) == cluster.sig_handler
    assert signal.getsignal(signal.SIGINT) == cluster.sig_handler


def test_the_loop_hands_back_results():
    djangoq.configure(recycle_jobs=None, max_rss_kb=None)
    outcomes = Outcomes()

    djangoq.run_worker(Tasks(task(lambda: 1), task(lambda: 2)), outcomes)

    assert [(o["result"], o["success"]) for o in outcomes] == [(1, True), (2, True)]


def test_the_loop_hands_back_failures():
    djangoq.configure(recycle_jobs=None, max_rss_kb=None)
    outcomes = Outcomes()

    djangoq.run_worker(Tasks(task(lambda: 1 / 0)), outcomes)

    assert [o["success"] for o in outcomes] == [False]
    assert "ZeroDivisionError" in outcomes[0]["result"]


def test_the_loop_ends_after_as_many_tasks_as_it_was_told():
    djangoq.configure(recycle_jobs=2, max_rss_kb=None)
    outcomes = Outcomes()

    djangoq.run_worker(Tasks(*(task(lambda: 1) for _ in range(5))), outcomes)

    assert len(outcomes) == 2


def test_the_loop_ends_when_its_memory_is_used_up():
    djangoq.configure(recycle_jobs=None, max_rss_kb=1)
    outcomes = Outcomes()

    djangoq.run_worker(Tasks(*(task(lambda: 1) for _ in range(5))), outcomes)

    assert len(outcomes) == 1


def test_its_signals_are_silent_about_tasks_of_which_their_own_api_tells():
    class Foreign:
        is_foreign = True

        def __call__(self):
            pass

    def own():
        pass

    heard = []

    def receiver(func, **kwargs):
        heard.append(func)

    for sent in (pre_execute, post_execute_in_worker):
        sent.connect(receiver)
    try:
        djangoq.run_worker(Tasks(task(Foreign()), task(own)), Outcomes())
    finally:
        for sent in (pre_execute, post_execute_in_worker):
            sent.disconnect(receiver)

    assert heard == [own, own]


def test_it_tells_of_a_worker_that_has_started():
    heard = []

    def receiver(**told):
        heard.append(told["proc_name"])

    post_spawn.connect(receiver)
    try:
        djangoq.run_worker(Tasks(), Outcomes())
    finally:
        post_spawn.disconnect(receiver)

    assert heard == [multiprocessing.current_process().name]


def test_the_bridge_finds_what_it_uses_of_django_q2():
    assert list(inspect.signature(save_cached).parameters) == ["task", "broker"]
    assert list(inspect.signature(async_chain).parameters) == [
        *("chain", "group", "cached", "sync", "broker"),
    ]
    for name in ("conf", "PREFIX", "CLUSTER_NAME", "_Q_CLUSTER_NAME", "BROKER_CLASS", "CATCH_UP"):
        assert hasattr(Conf, name)
    for name in ("SAVE_LIMIT", "SAVE_LIMIT_PER", "MAX_ATTEMPTS", "ACK_FAILURES", "TIME_ZONE"):
        assert hasattr(Conf, name)
