"""Cursor pagination: pages stay right while rows arrive, and no page costs more than the first."""

import base64
import binascii
import json
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from rappit_common.errors import InvalidError

MAX_PAGE_ROWS = 200
DEFAULT_PAGE_ROWS = 50
MAX_CURSOR_CHARACTERS = 512

ItemT = TypeVar("ItemT")

PageLimit = Annotated[int, Query(ge=1, le=MAX_PAGE_ROWS, description="Rows in the page, at most 200.")]
PageCursor = Annotated[
    str | None,
    Query(max_length=MAX_CURSOR_CHARACTERS, description="`next_cursor` of the page before; absent for the first page."),
]


class InvalidCursorError(InvalidError):
    """The cursor was not made by this list."""

    code = "invalid_cursor"


class Page(BaseModel, Generic[ItemT]):
    """One page of a list, newest first unless the list says otherwise."""

    items: list[ItemT]
    next_cursor: str | None = None


def encode_cursor(*position: str | int) -> str:
    """Return an opaque cursor for the sort values of a page's last row."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, size: int) -> tuple[str, ...]:
    """Return the sort values in ``cursor`` as text.

    Args:
        cursor: What :func:`encode_cursor` returned.
        size: How many values the list sorts by.

    Raises:
        InvalidCursorError: It was not made by this list.
    """
    try:
        values: object = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        values = None
    if not isinstance(values, list) or len(values) != size or not all(isinstance(v, str | int) for v in values):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        raise _not_ours()
    return tuple(str(value) for value in values)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def decode_id_cursor(cursor: str) -> UUID:
    """Return the id in the cursor of a list that sorts by ids alone.

    Raises:
        InvalidCursorError: It was not made by this list.
    """
    (value,) = decode_cursor(cursor, 1)
    try:
        return UUID(value)
    except ValueError:
        raise _not_ours() from None


def _not_ours() -> InvalidCursorError:
    return InvalidCursorError("The cursor is not one of this list's: start again without it.")
