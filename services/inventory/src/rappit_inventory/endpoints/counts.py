"""Cycle counts."""

from typing import Annotated, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Query, Response
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Principal, Role, Staff
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import (
    ApprovalByAnotherError,
    DocumentClosedError,
    InsufficientStockError,
    NotCountedError,
    QuantityTooLargeError,
    UnknownDocumentError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.endpoints.paging import cut
from rappit_inventory.endpoints.repeatable import RepeatableWrite, repeatable
from rappit_inventory.models.documents import CountRow
from rappit_inventory.schemas.documents import CountCreate, CountedLines, CountHead, CountLineRead, CountRead
from rappit_inventory.service import count
from rappit_inventory.service.count import Counter
from rappit_inventory.unit import InventoryUnit

Status = Literal["open", "approved", "cancelled"]

router = APIRouter(prefix="/counts", tags=["counts"], responses=errors(InvalidTokenError, MissingRoleError))


def _who(principal: Principal) -> Counter:
    return Counter(principal.subject, principal.label, principal.may(Role.OWNER))


@router.post(
    "",
    status_code=201,
    response_model=CountRead,
    responses=repeatable(CountRead, UnknownSkuError, UnknownWarehouseError),
)
async def open_count(body: CountCreate, write: RepeatableWrite, principal: Staff, now: Now) -> Response:
    """Ask for some SKUs in a warehouse to be counted."""

    async def act() -> CountRead:
        count_id = await count.open_count(
            write.unit, body.warehouse_code, body.skus, note=body.note, who=_who(principal), now=now
        )
        return await _read(write.unit, count_id)

    return await write.once(act)


@router.get("", responses=errors(InvalidCursorError))
async def list_counts(
    unit: ReadUnit,
    status: Annotated[Status | None, Query(description="Only those in this state.")] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[CountHead]:
    """List counts, newest first."""
    rows = await unit.counts.page(status, limit=limit + 1, after=decode_id_cursor(cursor) if cursor else None)
    codes = await unit.catalogue.warehouse_codes(row.warehouse_id for row in rows)
    more = cut(rows, limit, lambda row: (str(row.id),))
    return Page(items=[_head(row, codes) for row in rows[:limit]], next_cursor=more)


@router.get("/{count_id}", responses=errors(UnknownDocumentError))
async def show_count(count_id: UUID, unit: ReadUnit) -> CountRead:
    """Show a count, what was found, and how it differs from what we thought lay there at that moment."""
    return await _read(unit, count_id)


@router.put("/{count_id}/lines", responses=errors(UnknownDocumentError, UnknownSkuError, DocumentClosedError))
async def note_counted(count_id: UUID, body: CountedLines, unit: WriteUnit, principal: Staff, now: Now) -> CountRead:
    """Note what lies on some shelves; the last word on a SKU counts."""
    quantities = {line.sku: line.quantity for line in body.lines}
    await count.note_counted(unit, count_id, quantities, who=_who(principal), now=now)
    return await _read(unit, count_id)


@router.post(
    "/{count_id}/approve",
    responses=errors(
        UnknownDocumentError,
        DocumentClosedError,
        NotCountedError,
        ApprovalByAnotherError,
        InsufficientStockError,
        QuantityTooLargeError,
    ),
)
async def approve_count(count_id: UUID, unit: WriteUnit, principal: Staff, now: Now) -> CountRead:
    """Change each level by the difference that was found. Who counted asks another, or is the owner."""
    await count.approve_count(unit, count_id, who=_who(principal), now=now)
    return await _read(unit, count_id)


@router.post("/{count_id}/cancel", responses=errors(UnknownDocumentError, DocumentClosedError))
async def cancel_count(count_id: UUID, unit: WriteUnit, principal: Staff, now: Now) -> CountRead:
    """Drop a count; no level changes."""
    await count.cancel_count(unit, count_id, who=_who(principal), now=now)
    return await _read(unit, count_id)


def _head(row: CountRow, codes: dict[UUID, str]) -> CountHead:
    return CountHead(
        id=row.id,
        status=cast("Status", row.status),
        warehouse_code=codes[row.warehouse_id],
        note=row.note,
        opened_by=row.opened_by,
        opened_at=row.opened_at,
        closed_by=row.closed_by,
        closed_at=row.closed_at,
    )


async def _read(unit: InventoryUnit, count_id: UUID) -> CountRead:
    row = await unit.counts.get(count_id)
    if row is None:
        raise UnknownDocumentError(f"There is no count {count_id}.", count_id=str(count_id))
    codes = await unit.catalogue.warehouse_codes([row.warehouse_id])
    lines = [
        CountLineRead(
            sku=line.sku,
            quantity_counted=line.counted,
            quantity_expected=line.expected,
            difference=line.difference,
            counted_by=line.counted_by_label,
            counted_at=line.counted_at,
        )
        for line in await unit.counts.lines(count_id)
    ]
    return CountRead(**_head(row, codes).model_dump(), lines=lines)
