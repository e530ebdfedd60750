"""What this package tells other code. Receivers that raise are logged and stop nothing.

`job_enqueued`: sent in the transaction that inserts, with `jobs`, a list of Job.
`job_started`, `job_finished`: sent in the worker, with `job`, a CurrentJob; the latter also with
`outcome`, an Outcome that is not stored yet and may still be refused, and `error`, what the
function raised or None, which is then also the current exception.
`state_changed`: sent after the commit, by whichever process wrote it, with `ids`, `source`,
`target` (a State each) and `reason`. Engine processes send it too, so receivers must be quick.
"""

from django.dispatch import Signal

job_enqueued = Signal()
job_started = Signal()
job_finished = Signal()
state_changed = Signal()
