"""Time and identity, passed in where logic depends on them."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def utc_now() -> datetime:
    """Return the current time, aware and in UTC."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """Return a UUIDv7: unique anywhere, and rising with time so that indexes stay compact."""
    return uuid7()
