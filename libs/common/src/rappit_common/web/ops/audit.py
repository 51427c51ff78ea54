"""The audit log, read by operators: nobody changes it, PostgreSQL sees to that."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from rappit_common.messaging import tables
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_cursor,
    encode_cursor,
)
from rappit_common.web.ops.bodies import AuditEntry
from rappit_common.web.ops.units import REFUSED, Reading
from rappit_common.web.problems import errors

_log = tables.audit_log.c


class AuditPage(BaseModel):
    """Which entries: all that is given narrows. ``letter_id`` finds acts that named it, alone or among others."""

    model_config = ConfigDict(extra="forbid")

    actor: Annotated[str | None, Field(max_length=200)] = None
    action: Annotated[str | None, Field(max_length=100)] = None
    letter_id: UUID | None = None
    since: AwareDatetime | None = None
    before: AwareDatetime | None = None
    limit: PageLimit = DEFAULT_PAGE_ROWS
    cursor: PageCursor = None


def audit_router() -> APIRouter:
    """Return the endpoint that reads a service's audit log."""
    router = APIRouter(prefix="/audit")

    @router.get("", responses=errors(*REFUSED, InvalidCursorError))
    async def list_audit(unit: Reading, wanted: Annotated[AuditPage, Query()]) -> Page[AuditEntry]:  # pyright: ignore[reportUnusedFunction] - called by FastAPI
        """List who did what, the newest first."""
        rows = await _entries(unit.session, wanted)
        page = [AuditEntry.model_validate(row, from_attributes=True) for row in rows[: wanted.limit]]
        return Page(items=page, next_cursor=encode_cursor(page[-1].id) if len(rows) > wanted.limit else None)

    return router


async def _entries(session: AsyncSession, wanted: AuditPage) -> list[Row[Any]]:
    statement = select(tables.audit_log).order_by(_log.id.desc()).limit(wanted.limit + 1)
    if wanted.cursor is not None:
        (last,) = decode_cursor(wanted.cursor, 1)
        if not last.isdecimal():
            raise InvalidCursorError("The cursor is not one of this list's: start again without it.")
        statement = statement.where(_log.id < int(last))
    if wanted.actor is not None:
        statement = statement.where(_log.actor == wanted.actor)
    if wanted.action is not None:
        statement = statement.where(_log.action == wanted.action)
    if wanted.letter_id is not None:
        letter_id = str(wanted.letter_id)
        alone, among = _log.detail.contains({"letter_id": letter_id}), _log.detail.contains({"letter_ids": [letter_id]})
        statement = statement.where(or_(alone, among))
    if wanted.since is not None:
        statement = statement.where(_log.at >= wanted.since)
    if wanted.before is not None:
        statement = statement.where(_log.at < wanted.before)
    return list((await session.execute(statement)).all())
