"""What this package tells other code. Receivers that raise are logged and stop nothing.

`job_enqueued`: sent in the transaction that inserts, with `jobs`, a list of Job. A job enqueued by
itself has its id. Those inserted together have none (`pk` is None) on any database: jobs of
`enqueue_many`, of recurring jobs and those that follow a task of django-q2's (its hook, the next of
its chain). Receivers may read these and must not save them, which would insert them once more;
`state_changed` names each by its id when it is claimed.
`job_started`, `job_finished`: sent in the worker, with `job`, a CurrentJob; the latter also with
`outcome`, an Outcome that is not stored yet and may still be refused, and `error`, what the
function raised or None, which is then also the current exception.
`state_changed`: sent after the commit, by whichever process wrote it, with `ids`, `source`,
`target` (a State each) and `reason`. `server_started`: sent by housekeeping, with `server`, a
name, when its row is there. Engine processes send these too, so receivers must be quick.

Three more are for this package: sent in the transaction that writes, which fails if a receiver does.
`outcomes_recorded`: with `outcomes`, those among a batch that carry an `extra`. `jobs_poisoned`: with
`ids` and `reason`, of jobs that failed without an outcome. `occurrences_due`: with `jobs`, a list of
the Job about to be inserted for recurring jobs, which a receiver may change.
"""

from django.dispatch import Signal

job_enqueued = Signal()
job_started = Signal()
job_finished = Signal()
state_changed = Signal()
server_started = Signal()
outcomes_recorded = Signal()
jobs_poisoned = Signal()
occurrences_due = Signal()
