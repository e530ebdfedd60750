"""The measures, in the order in which they are taken and shown."""

from . import claim, cost, drain, enqueue, idle, latency, lateness, mixed, recovery
from .base import Measure

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        enqueue.MEASURE,
        drain.MEASURE,
        mixed.MEASURE,
        latency.IDLE,
        latency.LOADED,
        latency.POISONED,
        lateness.MEASURE,
        recovery.MEASURE,
        idle.MEASURE,
        cost.MEASURE,
        claim.MEASURE,
    )
}
