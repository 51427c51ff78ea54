"""By when a webhook must be answered, whatever is broken behind us."""

from collections.abc import Callable


class Deadline:
    """The time one request may take in all; each step is given what is left of it.

    Args:
        within_s: From now on.
        monotonic: In seconds.
    """

    __slots__ = ("_at_s", "_monotonic")

    def __init__(self, within_s: float, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._at_s = monotonic() + within_s

    def left_s(self) -> float:
        """Return what is left; 0 when it is over."""
        return max(0.0, self._at_s - self._monotonic())

    def extend(self, by_s: float) -> None:
        """Put it off, by time that the caller took and not we."""
        self._at_s += by_s
