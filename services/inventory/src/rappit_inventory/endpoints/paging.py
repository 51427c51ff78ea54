"""Cursors of lists that are sorted by more than an id."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from rappit_common.pagination import InvalidCursorError, decode_cursor, encode_cursor

RowT = TypeVar("RowT")


def cut(rows: Sequence[RowT], limit: int, position: Callable[[RowT], tuple[str | int, ...]]) -> str | None:
    """Return the cursor of the next page when more rows were found than the page holds."""
    return encode_cursor(*position(rows[limit - 1])) if len(rows) > limit else None


def two_ids(cursor: str) -> tuple[UUID, UUID]:
    """Return the position in the cursor of a list of levels.

    Raises:
        InvalidCursorError: It was not made by this list.
    """
    first, second = decode_cursor(cursor, 2)
    try:
        return UUID(first), UUID(second)
    except ValueError as error:
        raise _not_ours() from error


def time_and_number(cursor: str) -> tuple[datetime, int]:
    """Return the position in the cursor of the ledger.

    Raises:
        InvalidCursorError: It was not made by this list.
    """
    at, number = decode_cursor(cursor, 2)
    try:
        when, which = datetime.fromisoformat(at), int(number)
    except ValueError as error:
        raise _not_ours() from error
    if when.tzinfo is None or not 0 <= which < 1 << 63:
        raise _not_ours()
    return when, which


def _not_ours() -> InvalidCursorError:
    return InvalidCursorError("The cursor is not one of this list's: start again without it.")
