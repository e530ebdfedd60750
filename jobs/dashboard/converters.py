"""What may stand in an address."""

from __future__ import annotations

from ..states import State


class StateConverter:
    """One of the seven states."""

    regex = "|".join(State.values)

    def to_python(self, value: str) -> State:
        return State(value)

    def to_url(self, value: State | str) -> str:
        return str(value)
