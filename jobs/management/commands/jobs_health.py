"""`manage.py jobs_health`: one line of JSON, and an exit status for whoever watches."""

from __future__ import annotations

import json
import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error
from django.utils.translation import gettext as _

from ...engine.database import limit_waiting
from ...health import MAX_AGE_SECONDS, report

logger = logging.getLogger(__name__)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


class Command(BaseCommand):
    help = _(
        "Prints one line of JSON about servers and jobs; exits with 1 if no server lives, a due "
        "job has waited too long or the database does not answer, else with 0."
    )
    # What it says must stay one line, whatever else is wrong with the project.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--max-age",
            type=_seconds,
            default=MAX_AGE_SECONDS,
            metavar="SECONDS",
            help=_("how long a due job may wait (default: %(default)s)"),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            limit_waiting()
            found = report(options["max_age"])
        except Exception as error:  # wrong settings too: whoever watches reads nothing else
            what = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
            if isinstance(error, Error):
                text = _("the database does not answer: %(error)s") % what
            else:
                logger.exception("the health check failed")
                text = _("the health check failed: %(error)s") % what
            found = {"ok": False, "problems": [text]}
        # In ASCII, which every terminal and pipe takes.
        self.stdout.write(json.dumps(found))
        if not found["ok"]:
            sys.exit(1)
