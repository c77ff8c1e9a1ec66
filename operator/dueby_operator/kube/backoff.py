"""How long to wait before what has failed is tried again: twice as long each time, up to a limit."""


class Backoff:
    """The pauses between attempts at one thing."""

    def __init__(self, *, first_s: float, last_s: float) -> None:
        self._first_s, self._last_s = first_s, last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds until the next attempt."""
        now_s, self._next_s = self._next_s, min(2 * self._next_s, self._last_s)
        return now_s

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next_s = self._first_s
