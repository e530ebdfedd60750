"""Django's own tests of tasks, run against our backend."""

#: What stands for Django's backends: see `doubles`.
BACKENDS = {
    "django.tasks.backends.dummy.DummyBackend": f"{__name__}.doubles.Stored",
    "django.tasks.backends.immediate.ImmediateBackend": f"{__name__}.doubles.Drained",
}
