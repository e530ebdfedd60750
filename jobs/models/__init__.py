"""What exists: jobs and their history, queues, servers, recurring jobs, counters."""

from .adopted import Adopted, Source
from .counter import Counter, Span
from .history import HistoryEntry
from .job import Job
from .queue import Queue
from .recurring import RecurringJob
from .server import Order, Server

__all__ = [
    "Adopted",
    "Counter",
    "HistoryEntry",
    "Job",
    "Order",
    "Queue",
    "RecurringJob",
    "Server",
    "Source",
    "Span",
]
