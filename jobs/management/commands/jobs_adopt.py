"""`manage.py jobs_adopt`: take over what stands in django-q2's tables."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _


class Command(BaseCommand):
    help = _(
        "Says which schedules, queued tasks and failed tasks of django-q2 would become jobs; "
        "with --apply, makes them so. Stop django-q2's own clusters first."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--apply", action="store_true", help=_("do it"))

    def handle(self, *args: Any, **options: Any) -> None:
        from ...bridge import other_broker
        from ...bridge.adoption import Fate, adopt

        if key := other_broker():
            raise CommandError(
                _("Q_CLUSTER[%(key)r] names another broker; take it out first.") % {"key": key}
            )
        apply = options["apply"]
        said = {
            Fate.TAKEN: _("taken over") if apply else _("would be taken over"),
            Fate.LEFT: _("left as it is"),
        }
        found: Counter[Fate] = Counter()
        for row in adopt(apply=apply):
            found[row.fate] += 1
            name = " ".join(filter(None, (row.kind, row.key, row.func)))
            self.stdout.write(f"{name}: {said[row.fate]}: {row.text}")
        self.stdout.write(", ".join(f"{found[fate]} {text}" for fate, text in said.items()))
        if found[Fate.TAKEN] and not apply:
            self.stdout.write(_("Nothing was written. Run it again with --apply."))
