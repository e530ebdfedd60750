"""What the public API raises."""


class JobsError(Exception):
    """Base of every error of this package."""


class InvalidFunction(JobsError, ValueError):
    """The function can't be a job: a worker could not import it by its dotted path."""


class InvalidArguments(JobsError, TypeError):
    """The arguments don't fit the function's signature or are not JSON."""


class InvalidOption(JobsError, TypeError):
    """An option of a job is unknown or has a value that makes no sense."""


class InvalidSchedule(JobsError, ValueError):
    """A recurring job's cron expression, time zone or misfire mode makes no sense.

    `field`: the field of RecurringJob that is wrong.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class UnknownRecurringJob(JobsError, LookupError):
    """There is no recurring job of that name."""


class IllegalTransition(JobsError):
    """The job is in a state from which the wanted move is not allowed."""


class StillStopping(IllegalTransition):
    """The job was deleted while it ran, and that run has not ended yet."""


class UnknownQueue(JobsError, LookupError):
    """No job and no setting has named this queue so far."""


class UnknownServer(JobsError, LookupError):
    """No server of this name runs."""


class Interruption(BaseException):
    """Raised in a job's function to end it.

    Not an Exception, so that a function that catches those in a loop still ends.
    """


class JobTimeout(Interruption):
    """The function ran longer than the job's `timeout`. Counts as a failure, with its retries."""


class JobCancelled(Interruption):
    """The job was deleted while it ran. Raised by a job itself, it deletes the job."""
