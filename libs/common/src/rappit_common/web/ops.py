"""The operator's endpoints that every consuming service has, under ``/<prefix>/ops``."""

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row

from rappit_common.messaging.dead_letters import DeadLetterNotDeadError, DeadLetterNotFoundError, DeadLetters
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_cursor,
    encode_cursor,
)
from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Operator, OperatorViewer
from rappit_common.web.problems import errors

MAX_MENDED_CHARACTERS = 1024 * 1024


class DeadLetterSummary(BaseModel):
    """A dead letter in a list."""

    id: UUID
    service: str
    queue: str
    event: str
    message_id: str
    organization_id: UUID | None
    status: str
    error_type: str
    error_message: str
    attempts: int
    failures: int
    trace_id: str | None
    first_failed_at: datetime
    last_failed_at: datetime


class DeadLetterDetail(DeadLetterSummary):
    """A dead letter whole: ``body`` is its text, or base64 when ``body_encoding`` says so."""

    headers: dict[str, Any]
    content_type: str
    body: str
    body_encoding: str
    error_stack: str
    requeued_by: str | None


class RequeueDeadLetter(BaseModel):
    """How to requeue.

    ``body`` replaces the text that failed, when the fault was in it; ``reason`` goes to the audit log.
    """

    model_config = ConfigDict(extra="forbid")

    body: str | None = Field(default=None, max_length=MAX_MENDED_CHARACTERS)
    reason: str = Field(default="requested", min_length=1, max_length=500)


def _summary(service: str, row: Row[Any]) -> dict[str, Any]:
    names = DeadLetterSummary.model_fields.keys() - {"service", "status"}
    return {**{name: getattr(row, name) for name in names}, "service": service, "status": row.shown_status}


def _detail(service: str, row: Row[Any]) -> DeadLetterDetail:
    try:
        body, encoding = row.body.decode(), "utf-8"
    except UnicodeDecodeError:
        body, encoding = base64.b64encode(row.body).decode(), "base64"
    return DeadLetterDetail(
        **_summary(service, row),
        headers=row.headers,
        content_type=row.content_type,
        body=body,
        body_encoding=encoding,
        error_stack=row.error_stack,
        requeued_by=row.requeued_by,
    )


async def _reading(request: Request, principal: OperatorViewer) -> AsyncIterator[UnitOfWork]:
    units = cast("UnitsOfWork[UnitOfWork]", request.app.state.units)
    async with units.bypass_tenancy(f"operator {principal.label} reads dead letters") as unit:
        yield unit


async def _acting(request: Request, principal: Operator) -> AsyncIterator[UnitOfWork]:
    units = cast("UnitsOfWork[UnitOfWork]", request.app.state.units)
    async with units.bypass_tenancy("operator acts on dead letters", actor=principal.label) as unit:
        yield unit


Reading = Annotated[UnitOfWork, Depends(_reading, scope="function")]
Acting = Annotated[UnitOfWork, Depends(_acting, scope="function")]


def dead_letter_router(service: str) -> APIRouter:
    """Return the endpoints of a service's dead letters; mount them below its prefix."""
    router = APIRouter(prefix="/ops/dead-letters", tags=["operator"])
    refused = (InvalidTokenError, MissingRoleError)

    @router.get("", responses=errors(*refused, InvalidCursorError))
    async def list_dead_letters(
        unit: Reading,
        status: Annotated[str | None, Query(pattern="^(dead|requeueing|requeued)$")] = None,
        queue: Annotated[str | None, Query(max_length=255)] = None,
        limit: PageLimit = DEFAULT_PAGE_ROWS,
        cursor: PageCursor = None,
    ) -> Page[DeadLetterSummary]:
        """List what failed, the newest first."""
        before = None
        if cursor is not None:
            failed_at, row_id = decode_cursor(cursor, 2)
            try:
                before = (datetime.fromisoformat(failed_at), UUID(row_id))
            except ValueError:
                raise InvalidCursorError("The cursor is not one of this list's: start again without it.") from None
        letters = DeadLetters(unit.session, unit.outbox)
        rows = await letters.newest(status=status, queue=queue, limit=limit + 1, before=before)
        page = [DeadLetterSummary(**_summary(service, row)) for row in rows[:limit]]
        more = len(rows) > limit
        following = encode_cursor(page[-1].last_failed_at.isoformat(), str(page[-1].id)) if more else None
        return Page(items=page, next_cursor=following)

    @router.get("/{letter_id}", responses=errors(*refused, DeadLetterNotFoundError))
    async def get_dead_letter(letter_id: UUID, unit: Reading) -> DeadLetterDetail:
        """Show one dead letter whole."""
        return _detail(service, await DeadLetters(unit.session, unit.outbox).get(letter_id))

    @router.post(
        "/{letter_id}/requeue",
        status_code=202,
        responses=errors(*refused, DeadLetterNotFoundError, DeadLetterNotDeadError),
    )
    async def requeue_dead_letter(
        letter_id: UUID, unit: Acting, principal: Operator, how: RequeueDeadLetter | None = None
    ) -> DeadLetterDetail:
        """Send a dead letter back to its queue, as it is or with a mended body; twice at once requeues once."""
        how = how or RequeueDeadLetter()
        mended = None if how.body is None else how.body.encode()
        letters = DeadLetters(unit.session, unit.outbox)
        failed = await letters.get(letter_id)
        await letters.requeue(letter_id, actor=principal.label, mended_body=mended)
        digests = {"failed_sha256": hashlib.sha256(failed.body).hexdigest()}
        if mended is not None:
            digests["mended_sha256"] = hashlib.sha256(mended).hexdigest()
        await unit.audit(
            principal.label,
            "dead_letter.requeue",
            how.reason,
            organization_id=failed.organization_id,
            letter_id=str(letter_id),
            **digests,
        )
        await unit.outbox.flush()
        return _detail(service, await letters.get(letter_id))

    return router
