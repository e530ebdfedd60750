"""What exists: jobs, their history and what they told, queues, servers, recurring jobs, counters."""

from .adopted import Adopted, Source
from .counter import Counter, Span
from .history import HistoryEntry
from .job import Job
from .operation import Operation
from .queue import Queue
from .recurring import RecurringJob
from .report import JobProgress, LogLine
from .server import Order, Server

__all__ = [
    "Adopted",
    "Counter",
    "HistoryEntry",
    "Job",
    "JobProgress",
    "LogLine",
    "Operation",
    "Order",
    "Queue",
    "RecurringJob",
    "Server",
    "Source",
    "Span",
]
