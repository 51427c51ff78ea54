"""Transfers between warehouses."""

from collections.abc import Iterable
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
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import (
    DocumentClosedError,
    InactiveWarehouseError,
    InsufficientStockError,
    NotInTransitError,
    QuantityTooLargeError,
    UnknownDocumentError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.endpoints.paging import cut
from rappit_inventory.endpoints.repeatable import RepeatableWrite, repeatable
from rappit_inventory.models.documents import TransferRow
from rappit_inventory.schemas.documents import (
    Cancellation,
    QuantityLine,
    TransferCreate,
    TransferHead,
    TransferLineRead,
    TransferLoss,
    TransferRead,
    TransferReceipt,
    TransferStepRead,
)
from rappit_inventory.service import transfer
from rappit_inventory.service.transfer import SameWarehouseError
from rappit_inventory.unit import InventoryUnit

MAX_STEPS = 1_000
Status = Literal["draft", "sent", "received", "cancelled"]

router = APIRouter(prefix="/transfers", tags=["transfers"], responses=errors(InvalidTokenError, MissingRoleError))


@router.post(
    "",
    status_code=201,
    response_model=TransferRead,
    responses=repeatable(
        TransferRead, UnknownSkuError, UnknownWarehouseError, InactiveWarehouseError, SameWarehouseError
    ),
)
async def draft_transfer(body: TransferCreate, write: RepeatableWrite, principal: Staff, now: Now) -> Response:
    """Plan a transfer; nothing moves before it is sent."""

    async def act() -> TransferRead:
        transfer_id = await transfer.draft_transfer(
            write.unit,
            body.source_warehouse_code,
            body.target_warehouse_code,
            _summed(body.lines),
            note=body.note,
            actor=principal.label,
            now=now,
        )
        return await _read(write.unit, transfer_id)

    return await write.once(act)


@router.get("", responses=errors(InvalidCursorError))
async def list_transfers(
    unit: ReadUnit,
    status: Annotated[Status | None, Query(description="Only those that have come so far.")] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[TransferHead]:
    """List transfers, newest first."""
    rows = await unit.transfers.page(status, limit=limit + 1, after=decode_id_cursor(cursor) if cursor else None)
    codes = await unit.catalogue.warehouse_codes(place for row in rows for place in (row.source_id, row.target_id))
    more = cut(rows, limit, lambda row: (str(row.id),))
    return Page(items=[_head(row, codes) for row in rows[:limit]], next_cursor=more)


@router.get("/{transfer_id}", responses=errors(UnknownDocumentError))
async def show_transfer(transfer_id: UUID, unit: ReadUnit) -> TransferRead:
    """Show a transfer, where its units are, and its story."""
    return await _read(unit, transfer_id)


@router.post("/{transfer_id}/send", responses=errors(UnknownDocumentError, DocumentClosedError, InsufficientStockError))
async def send_transfer(transfer_id: UUID, unit: WriteUnit, principal: Staff, now: Now) -> TransferRead:
    """Take the units off the source's shelves; from then on they are in transit. A second time nothing happens."""
    await transfer.send_transfer(unit, transfer_id, actor=principal.label, now=now)
    return await _read(unit, transfer_id)


@router.post(
    "/{transfer_id}/receive",
    response_model=TransferRead,
    responses=repeatable(
        TransferRead,
        UnknownDocumentError,
        UnknownSkuError,
        DocumentClosedError,
        NotInTransitError,
        QuantityTooLargeError,
        creates=False,
    ),
)
async def receive_transfer(
    transfer_id: UUID, body: TransferReceipt, write: RepeatableWrite, principal: Staff, now: Now
) -> Response:
    """Put units that arrived on the target's shelves: those named, or all that is on the way."""
    named = None if body.lines is None else _summed(body.lines)

    async def act() -> TransferRead:
        await transfer.receive_transfer(write.unit, transfer_id, named, actor=principal.label, now=now)
        return await _read(write.unit, transfer_id)

    return await write.once(act)


@router.post(
    "/{transfer_id}/write-off",
    response_model=TransferRead,
    responses=repeatable(
        TransferRead,
        UnknownDocumentError,
        UnknownSkuError,
        DocumentClosedError,
        NotInTransitError,
        creates=False,
    ),
)
async def write_off_transfer(
    transfer_id: UUID, body: TransferLoss, write: RepeatableWrite, principal: Staff, now: Now
) -> Response:
    """Give up units that will not arrive: those named, or all that is on the way."""
    named = None if body.lines is None else _summed(body.lines)

    async def act() -> TransferRead:
        await transfer.write_off_transfer(
            write.unit, transfer_id, named, reason=body.reason, actor=principal.label, now=now
        )
        return await _read(write.unit, transfer_id)

    return await write.once(act)


@router.post(
    "/{transfer_id}/cancel", responses=errors(UnknownDocumentError, DocumentClosedError, QuantityTooLargeError)
)
async def cancel_transfer(
    transfer_id: UUID, body: Cancellation, unit: WriteUnit, principal: Staff, now: Now
) -> TransferRead:
    """End a transfer; what is on the way goes back to the source. A second time nothing happens."""
    await transfer.cancel_transfer(unit, transfer_id, reason=body.reason, actor=principal.label, now=now)
    return await _read(unit, transfer_id)


def _summed(lines: Iterable[QuantityLine]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for line in lines:
        summed[line.sku] = summed.get(line.sku, 0) + line.quantity
    return summed


def _head(row: TransferRow, codes: dict[UUID, str]) -> TransferHead:
    return TransferHead(
        id=row.id,
        status=cast("Status", row.status),
        source_warehouse_code=codes[row.source_id],
        target_warehouse_code=codes[row.target_id],
        note=row.note,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def _read(unit: InventoryUnit, transfer_id: UUID) -> TransferRead:
    row = await unit.transfers.get(transfer_id)
    if row is None:
        raise UnknownDocumentError(f"There is no transfer {transfer_id}.", transfer_id=str(transfer_id))
    codes = await unit.catalogue.warehouse_codes((row.source_id, row.target_id))
    steps = await unit.transfers.steps(transfer_id, limit=MAX_STEPS)
    return TransferRead(
        **_head(row, codes).model_dump(),
        lines=[
            TransferLineRead(
                sku=line.sku_code,
                quantity=line.quantity,
                quantity_in_transit=line.in_transit,
                quantity_received=line.received,
                quantity_written_off=line.written_off,
                quantity_returned=line.returned,
            )
            for line in await unit.transfers.lines(transfer_id)
        ],
        steps=[TransferStepRead.model_validate(step) for step in steps],
    )
