"""Where the doubles read the time, so that tests can decide it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Returns the current time, aware, in UTC."""


def now_utc() -> datetime:
    """The system's time, in UTC."""
    return datetime.now(UTC)
