"""One log line a webhook, but never a flood of them."""

from collections.abc import Callable


class LineBudget:
    """Lets a bounded number of lines a second through, and counts the ones left out.

    Args:
        lines_per_s: Kept in any one second.
        monotonic: In seconds.
    """

    def __init__(self, lines_per_s: int, monotonic: Callable[[], float]) -> None:
        self._lines_per_s = lines_per_s
        self._monotonic = monotonic
        self._second = -1
        self._kept = 0
        self._left_out = 0

    def take(self) -> int | None:
        """Return None when the line is to be left out, else how many were left out since the last that was not."""
        second = int(self._monotonic())
        if second != self._second:
            self._second, self._kept = second, 0
        if self._kept >= self._lines_per_s:
            self._left_out += 1
            return None
        self._kept += 1
        left_out, self._left_out = self._left_out, 0
        return left_out
