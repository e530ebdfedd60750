"""From the address of a list to the jobs that it lists: what "all that match" means."""

from __future__ import annotations

from .filters import NotMatching, jobs

__all__ = ["NotMatching", "jobs"]
