"""The seven states of a job and the moves between them."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.TextChoices):
    """Where a job is in its life."""

    ENQUEUED = "enqueued", _("Enqueued")
    SCHEDULED = "scheduled", _("Scheduled")
    PROCESSING = "processing", _("Processing")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    DELETED = "deleted", _("Deleted")
    AWAITING = "awaiting", _("Awaiting")


#: A job is created in one of these.
INITIAL = frozenset({State.ENQUEUED, State.SCHEDULED, State.AWAITING})

#: Nothing more happens to a job in one of these unless somebody asks for it.
FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.DELETED})

#: Every move that exists. What is not listed here raises IllegalTransition.
MOVES: dict[State, frozenset[State]] = {
    State.ENQUEUED: frozenset({State.PROCESSING, State.SCHEDULED, State.DELETED}),
    State.SCHEDULED: frozenset({State.ENQUEUED, State.SCHEDULED, State.DELETED}),
    State.AWAITING: frozenset({State.ENQUEUED, State.SCHEDULED, State.DELETED}),
    State.PROCESSING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.SCHEDULED, State.ENQUEUED, State.DELETED}
    ),
    State.SUCCEEDED: frozenset({State.ENQUEUED, State.SCHEDULED, State.DELETED}),
    State.FAILED: frozenset({State.ENQUEUED, State.SCHEDULED, State.DELETED}),
    State.DELETED: frozenset({State.ENQUEUED, State.SCHEDULED}),
}
