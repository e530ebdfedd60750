"""django-q2's own API is refused."""

import pytest
from django_q.models import OrmQ
from django_q.tasks import async_task

from jobs.bridge import NotBridged
from jobs.models import Job


@pytest.mark.django_db
def test_async_task_is_refused_and_writes_nothing():
    with pytest.raises(NotBridged, match=r"tests\.functions\.add.*Use enqueue\(func"):
        async_task("tests.functions.add", 1)

    assert (Job.objects.count(), OrmQ.objects.count()) == (0, 0)
