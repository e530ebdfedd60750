"""Chores of a dispatcher: what must be written, in order, however long the database is away.

One that the database refuses does not hold up the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from .. import transitions
from ..wakeup import announce_all
from .arena import Pair
from .database import Outage


class Chores:
    """What is still to be written."""

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self._chores: deque[Callable[[], Any]] = deque()
        self._last: Callable[[], Any] | None = None

    def __len__(self) -> int:
        return len(self._chores) + (self._last is not None)

    def add(self, chore: Callable[[], Any]) -> None:
        self._chores.append(chore)

    def end_with(self, chore: Callable[[], Any]) -> None:
        """Do this when all others are done: it would undo what they are about."""
        self._last = chore

    def give_back(self, pairs: list[Pair], reason: str, *, started: bool) -> None:
        if pairs:
            self.add(lambda: announce_all(transitions.give_back(pairs, reason, started=started)))

    def give_back_quietly(self, pairs: list[Pair], reason: str) -> None:
        """Give back what has not started, without waking anybody for it."""
        if pairs:
            self.add(lambda: transitions.give_back(pairs, reason, started=False))

    def work_off(self) -> bool:
        """Do what can be done now; return whether that was anything."""
        any_done = False
        for chore in self._possible():
            done, _ = self._outage.attempt(chore, chore)
            if done:
                self._drop(chore)
                any_done = True
            elif self._outage.since:
                break  # else it is this one that fails, and the next one may be done
        return any_done

    def waits(self) -> list[float]:
        """Return after how many seconds each of them is to be tried."""
        return [self._outage.wait_for(chore, chore) for chore in self._possible()]

    def _possible(self) -> list[Callable[[], Any]]:
        return list(self._chores) or ([self._last] if self._last else [])

    def _drop(self, chore: Callable[[], Any]) -> None:
        if chore is self._last:
            self._last = None
        else:
            self._chores.remove(chore)
