"""The form of a recurring job, new or known."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...conf import conf
from ...decorators import declared_options
from ...exceptions import InvalidFunction
from ...foreign import VIA
from ...functions import resolve_for_enqueue
from ...models import RecurringJob
from .. import offered
from . import secrets


class Wide(forms.Textarea):
    """Text of several lines, in the letters of code."""

    def __init__(self, rows: int) -> None:
        super().__init__({"rows": rows, "class": "mono", "spellcheck": "false"})


def _line(**attrs: Any) -> forms.TextInput:
    return forms.TextInput({"autocomplete": "off", "spellcheck": "false", **attrs})


class RecurringJobForm(forms.ModelForm):
    """What operators decide of a recurring job: when and how; what it runs, only of a new one.

    Functions are those on offer. Of a job whose function is not on offer the arguments stay as
    the code gave them: with other ones, many a function does anything.
    """

    class Meta:
        model = RecurringJob
        fields = (
            "name",
            "func",
            "cron",
            "time_zone",
            "misfire",
            "queue",
            "priority",
            "arguments",
            "options",
        )
        labels = {  # noqa: RUF012
            "func": gettext_lazy("Function"),
            "cron": gettext_lazy("Cron expression"),
        }
        help_texts = {  # noqa: RUF012
            "name": gettext_lazy("Identifies the recurring job; it can't be changed later."),
            "func": gettext_lazy(
                "One of the functions that are registered as jobs or listed for the dashboard."
            ),
            "cron": gettext_lazy(
                "Minute, hour, day of month, month, weekday; of six fields the first is the "
                "second. L: last day of the month, LW: its last weekday, 5L: its last Friday, "
                "MON#1: its first Monday."
            ),
            "time_zone": gettext_lazy("On whose clocks: an IANA name such as Europe/Berlin."),
            "misfire": gettext_lazy("What happens to occurrences that no server was there for."),
            "queue": gettext_lazy("Empty: the queue that the function names."),
            "priority": gettext_lazy("From -100 to 100, larger first."),
            "arguments": gettext_lazy('As JSON: {"args": […], "kwargs": {"name": …}}.'),
            "options": gettext_lazy('As JSON, such as {"max_retries": 3}.'),
        }
        widgets = {  # noqa: RUF012
            "name": _line(),
            "func": _line(list="functions", **{"class": "mono"}),
            "cron": _line(**{"class": "mono"}),
            "time_zone": _line(list="zones"),
            "arguments": Wide(5),
            "options": Wide(2),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: A function that was asked for and refused, for the log.
        self.refused = ""
        self.is_new = self.instance.pk is None
        self.fields["options"].required = False
        self.kept = {} if self.is_new else {"arguments": self.instance.arguments}
        if self.is_new:
            self.fields["queue"].required = self.fields["priority"].required = False
            self.initial.setdefault("time_zone", conf.TIME_ZONE)
            self.initial.setdefault("arguments", {"args": [], "kwargs": {}})
            self.initial["priority"] = self.initial["queue"] = None
        else:
            self._of_known()

    def _of_known(self) -> None:
        self.fields["name"].disabled = self.fields["func"].disabled = True
        self.fields["name"].help_text = self.fields["func"].help_text = _("Can't be changed.")
        self.fields["queue"].help_text = ""
        options = self.instance.options
        if isinstance(options, dict):
            self.initial["options"] = {k: v for k, v in options.items() if k != VIA}
        self.initial["arguments"] = secrets.masked_call(self.instance.func, self.kept["arguments"])
        if offered.refusal(self.instance.func):
            self.fields["arguments"].disabled = True
            self.fields["arguments"].help_text = _(
                "Can't be changed: the function is not on offer in the dashboard."
            )

    @property
    def wanted_func(self) -> str:
        """The function that was asked for, as it was sent."""
        return str(self.data.get(self.add_prefix("func"), "")).strip()

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if self.is_new and RecurringJob.objects.using(conf.DATABASE).filter(name=name).exists():
            raise ValidationError(_("There is a recurring job of this name already."))
        return name

    def clean_func(self) -> str:
        """Refuse what is not on offer, before anything is imported for it."""
        if not self.is_new:
            if self.wanted_func not in ("", self.instance.func):
                self.refused = self.wanted_func
                raise ValidationError(_("The function of a recurring job can't be changed."))
            return str(self.instance.func)
        path = str(self.cleaned_data["func"]).strip()
        if offered.refusal(path):
            self.refused = path
            raise ValidationError(
                _(
                    "“%(name)s” is not on offer: only functions that are registered with @job or "
                    "listed in JOBS[“DASHBOARD_FUNCTIONS”] can be run from here."
                ),
                params={"name": path},
            )
        return path

    def clean_arguments(self) -> Any:
        """Put back the secrets that were shown masked."""
        given = self.cleaned_data["arguments"]
        if self.fields["arguments"].disabled:
            return self.kept["arguments"]
        return secrets.restored(given, self.kept.get("arguments"))

    def clean_options(self) -> Any:
        """Keep what another API's call is about, which can name functions, as it was."""
        options = self.cleaned_data["options"]
        options = {} if options is None else options
        known = self.instance.options if isinstance(self.instance.options, dict) else {}
        if not isinstance(options, dict):
            return options  # the model says what is wrong with it
        if VIA in options and options[VIA] != known.get(VIA):
            raise ValidationError(_("“%(name)s” can't be changed here."), params={"name": VIA})
        return {**options, VIA: known[VIA]} if VIA in known else options

    def clean(self) -> dict[str, Any]:
        """Take queue and priority from the function where nothing is said."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.is_new and "func" in cleaned:
            try:
                declared = declared_options(resolve_for_enqueue(cleaned["func"]))
            except InvalidFunction as error:
                self.add_error("func", str(error))
                return cleaned
            if "queue" in cleaned:
                cleaned["queue"] = cleaned["queue"] or declared.queue or conf.DEFAULT_QUEUE
            if "priority" in cleaned and cleaned["priority"] is None:
                cleaned["priority"] = declared.priority or 0
        return cleaned

    def validate_unique(self) -> None:
        """Nothing: `clean_name` asked the right database."""

    @property
    def changed(self) -> list[str]:
        """The columns that now hold something else."""
        before = RecurringJob.objects.using(conf.DATABASE).get(pk=self.instance.pk)
        return [
            name
            for name in self._meta.fields or ()
            if getattr(before, name) != getattr(self.instance, name)
        ]
