"""What endpoints ask for."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Request, Response
from rappit_common.clock import utc_now
from rappit_common.limits import SourceLimit
from rappit_common.pagination import InvalidCursorError, decode_cursor, encode_cursor
from rappit_common.unit_of_work import UnitsOfWork
from rappit_common.web.auth import OperatorViewer, Tokens, Viewer, tenant_of

from rappit_identity.domain.passwords import Passwords
from rappit_identity.unit import IdentityUnit


@dataclass(frozen=True, slots=True)
class Identity:
    """What this service's endpoints share."""

    units: UnitsOfWork[IdentityUnit]
    tokens: Tokens
    passwords: Passwords
    auth_limit: SourceLimit
    access_token_lifetime: timedelta
    refresh_token_lifetime: timedelta


def _identity(request: Request) -> Identity:
    return cast("Identity", request.app.state.identity)


Shared = Annotated[Identity, Depends(_identity)]
Now = Annotated[datetime, Depends(utc_now)]


async def limit_auth(shared: Shared, request: Request, response: Response) -> None:
    """Count a request below ``/auth`` for its source address.

    Raises:
        TooManyRequestsError: The address used up its minute.
    """
    await shared.auth_limit(request, response)


async def open_unit(shared: Shared, principal: Viewer) -> AsyncGenerator[IdentityUnit]:
    """Open the caller's transaction."""
    async with shared.units.begin(tenant_of(principal)) as unit:
        yield unit


async def open_reading(shared: Shared, principal: OperatorViewer) -> AsyncGenerator[IdentityUnit]:
    """Open a transaction in which an operator reads every organization."""
    async with shared.units.bypass_tenancy(f"operator {principal.label} reads organizations") as unit:
        yield unit


# "function" commits before the response leaves; the default commits after it, and a failing commit would answer 201.
Unit = Annotated[IdentityUnit, Depends(open_unit, scope="function")]
Reading = Annotated[IdentityUnit, Depends(open_reading, scope="function")]


def before_id(cursor: str | None) -> UUID | None:
    """Return where a page begins.

    Raises:
        InvalidCursorError: The cursor is not of such a list.
    """
    if cursor is None:
        return None
    (text,) = decode_cursor(cursor, 1)
    try:
        return UUID(text)
    except ValueError:
        raise InvalidCursorError("The cursor is not one of this list's: start again without it.") from None


def next_cursor(last_id: UUID | None, *, more: bool) -> str | None:
    """Return the cursor of the page that follows, or None on the last."""
    return encode_cursor(str(last_id)) if more and last_id is not None else None
