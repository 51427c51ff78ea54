"""Reading dead letters: pages, groups, one whole, and all as CSV."""

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from rappit_common.messaging.dead_letters.filters import LetterFilter
from rappit_common.messaging.dead_letters.refusals import DeadLetterNotFoundError
from rappit_common.messaging.dead_letters.search import (
    Position,
    get_letter,
    groups_of_letters,
    notes_of_letter,
    page_of_letters,
)
from rappit_common.messaging.topology import Subscription
from rappit_common.pagination import InvalidCursorError, Page, decode_cursor, encode_cursor
from rappit_common.unit_of_work import UnitOfWork, UnitsOfWork
from rappit_common.web.auth import OperatorViewer
from rappit_common.web.ops.bodies import (
    DeadLetterDetail,
    DeadLetterGroup,
    DeadLetterGroups,
    DeadLetterSummary,
    LetterPage,
    detail_of,
)
from rappit_common.web.ops.units import REFUSED, Reading, units_of
from rappit_common.web.problems import errors

MAX_EXPORTED_ROWS = 100_000
EXPORT_STEP_ROWS = 1_000
# What a spreadsheet takes for the beginning of a formula, the wide forms of East Asian keyboards among them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What a terminal obeys when the file is looked at there.
_STEERING = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def listing_router(service: str, subscriptions: dict[str, Subscription]) -> APIRouter:
    """Return the endpoints that read dead letters."""
    router = APIRouter(prefix="/dead-letters")

    @router.get("", responses=errors(*REFUSED, InvalidCursorError))
    async def list_dead_letters(unit: Reading, wanted: Annotated[LetterPage, Query()]) -> Page[DeadLetterSummary]:
        """List what failed, the newest failure first."""
        before = None if wanted.cursor is None else _position(wanted.cursor)
        rows = await page_of_letters(unit.session, wanted, limit=wanted.limit + 1, before=before)
        page = [DeadLetterSummary.of(service, row) for row in rows[: wanted.limit]]
        more = len(rows) > wanted.limit
        following = encode_cursor(page[-1].last_failed_at.isoformat(), str(page[-1].id)) if more else None
        return Page(items=page, next_cursor=following)

    @router.get("/groups", responses=errors(*REFUSED))
    async def group_dead_letters(unit: Reading, wanted: Annotated[LetterFilter, Query()]) -> DeadLetterGroups:
        """Count what failed in the same way: one queue, one error, one shape of its message."""
        rows = await groups_of_letters(unit.session, wanted)
        return DeadLetterGroups(items=[DeadLetterGroup.model_validate(row, from_attributes=True) for row in rows])

    @router.get("/export", responses=errors(*REFUSED), response_class=StreamingResponse)
    async def export_dead_letters(
        request: Request, _principal: OperatorViewer, wanted: Annotated[LetterFilter, Query()]
    ) -> StreamingResponse:
        """Give the list as CSV, at most 100,000 rows; a cell that a spreadsheet would execute begins with a quote."""
        lines = export_lines(service, units_of(request), wanted)
        # Read before the answer begins: once it has, a refusal could only break it off.
        first = await anext(lines)
        named = {"Content-Disposition": f'attachment; filename="{service}-dead-letters.csv"'}
        return StreamingResponse(_led_by(first, lines), media_type="text/csv; charset=utf-8", headers=named)

    @router.get("/{letter_id}", responses=errors(*REFUSED, DeadLetterNotFoundError))
    async def get_dead_letter(letter_id: UUID, unit: Reading) -> DeadLetterDetail:
        """Show one dead letter whole."""
        return await shown_whole(service, subscriptions, unit, letter_id)

    return router


async def shown_whole(
    service: str, subscriptions: dict[str, Subscription], unit: UnitOfWork, letter_id: UUID
) -> DeadLetterDetail:
    """Return a letter as it is shown alone.

    Raises:
        DeadLetterNotFoundError: No such id.
    """
    row = await get_letter(unit.session, letter_id)
    notes = await notes_of_letter(unit.session, letter_id)
    return detail_of(service, row, notes, subscriptions.get(row.queue))


async def export_lines(service: str, units: UnitsOfWork[UnitOfWork], wanted: LetterFilter) -> AsyncIterator[str]:
    """Yield the list as CSV, step by step, each in a transaction of its own: the reader may be slow."""
    columns = list(DeadLetterSummary.model_fields)
    before: Position | None = None
    heading = _csv([columns])
    for _ in range(MAX_EXPORTED_ROWS // EXPORT_STEP_ROWS):
        async with units.bypass_tenancy("an operator exports dead letters") as unit:
            rows = await page_of_letters(unit.session, wanted, limit=EXPORT_STEP_ROWS, before=before)
        shown = [DeadLetterSummary.of(service, row).model_dump(mode="json") for row in rows]
        yield heading + _csv([[defused(letter[name]) for name in columns] for letter in shown])
        if len(rows) < EXPORT_STEP_ROWS:
            return
        heading, before = "", (rows[-1].last_failed_at, rows[-1].id)


async def _led_by(first: str, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for line in lines:
        yield line


def defused(value: object) -> str:
    """Return a cell's text, quoted where a spreadsheet takes it for a formula, and without what steers a terminal."""
    text = "" if value is None else _STEERING.sub("\ufffd", str(value))
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


def _csv(rows: list[list[str]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def _position(cursor: str) -> Position:
    failed_at, row_id = decode_cursor(cursor, 2)
    try:
        return datetime.fromisoformat(failed_at), UUID(row_id)
    except ValueError:
        raise InvalidCursorError("The cursor is not one of this list's: start again without it.") from None
