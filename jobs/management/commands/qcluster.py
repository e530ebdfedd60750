"""`manage.py qcluster`: run a server."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from ...conf import queue_name


def _queues(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if problem := queue_name(name):
            raise ArgumentTypeError(f"queue {name!r} {problem}")
    return list(dict.fromkeys(names))


def _workers(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)


class Command(BaseCommand):
    help = _("Runs a server: workers that run background jobs, until it is stopped.")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queues",
            type=_queues,
            help=_("queues to work, in this order, separated by commas (default: all)"),
        )
        parser.add_argument("--workers", type=_workers, help=_("how many processes run jobs"))
        parser.add_argument(
            "-n", "--name", help=_("first part of the server's name (default: the host's name)")
        )
        parser.add_argument(
            "--drain",
            action="store_true",
            help=_(
                "work off what is enqueued or due, then exit; jobs of the future and of paused "
                "queues stay"
            ),
        )

        parser.add_argument(
            "--run-once", action="store_true", help=_("the same, by django-q2's name for it")
        )
        parser.add_argument(
            "--stock",
            action="store_true",
            help=_("run django-q2's own cluster instead, for a broker of its own (Redis, SQS, …)"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["stock"]:
            self._run_stock(options)
            return
        if sys.platform == "win32":
            raise CommandError(_("Workers are forked, which Windows can't do; use WSL."))
        from ...bridge import cluster_queues
        from ...engine.cluster import Cluster, too_many_workers

        cluster = Cluster(
            queues=options["queues"] or cluster_queues(options["name"]),
            workers=options["workers"],
            label=options["name"],
            drain=options["drain"] or options["run_once"],
        )
        if problem := too_many_workers(cluster.workers):
            raise CommandError(problem)
        cluster.start()
        if cluster.status:
            sys.exit(cluster.status)

    def _run_stock(self, options: dict[str, Any]) -> None:
        from django_q.management.commands.qcluster import Command as StockCommand

        from ...bridge import other_broker

        if other_broker() is None:
            raise CommandError(
                _("Q_CLUSTER names no broker of django-q2's own: plain `qcluster` works its tasks.")
            )
        for name in ("queues", "workers", "drain"):
            if options[name]:
                raise CommandError(
                    _("--%(name)s is not for django-q2's own cluster.") % {"name": name}
                )
        call_command(StockCommand(), run_once=options["run_once"], cluster_name=options["name"])
