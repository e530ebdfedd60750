"""What the public API raises."""


class JobsError(Exception):
    """Base of every error of this package."""


class InvalidFunction(JobsError, ValueError):
    """The function can't be a job: a worker could not import it by its dotted path."""


class InvalidArguments(JobsError, TypeError):
    """The arguments don't fit the function's signature or are not JSON."""


class InvalidOption(JobsError, TypeError):
    """An option of a job is unknown or has a value that makes no sense."""


class IllegalTransition(JobsError):
    """The job is in a state from which the wanted move is not allowed."""


class StillStopping(IllegalTransition):
    """The job was deleted while it ran, and that run has not ended yet."""


class UnknownQueue(JobsError, LookupError):
    """No job and no setting has named this queue so far."""
