"""Levels, adjustments and reservations."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_cursor,
    encode_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import (
    InsufficientStockError,
    QuantityTooLargeError,
    UnknownReservationError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.messages import ShortLine
from rappit_inventory.schemas import AdjustmentCreate, DemandLineRead, LevelRead, ReservationRead
from rappit_inventory.service.adjust import Adjustment, adjust_stock
from rappit_inventory.service.announcements import allocations_of, reason_of
from rappit_inventory.service.read_reservation import read_reservation

router = APIRouter(tags=["stock"], responses=errors(InvalidTokenError, MissingRoleError))


def _position(cursor: str) -> tuple[UUID, UUID]:
    sku_id, warehouse_id = decode_cursor(cursor, 2)
    try:
        return UUID(sku_id), UUID(warehouse_id)
    except ValueError as error:
        raise InvalidCursorError("The cursor is not one of this list's: start again without it.") from error


@router.get("/levels", responses=errors(InvalidCursorError))
async def list_levels(
    unit: ReadUnit,
    sku: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Of this SKU only.")] = None,
    warehouse_code: Annotated[
        str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="In this warehouse only.")
    ] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[LevelRead]:
    """List levels, in the order in which SKUs were added."""
    after = _position(cursor) if cursor else None
    rows = await unit.levels.page(sku=sku, warehouse_code=warehouse_code, limit=limit + 1, after=after)
    more = encode_cursor(str(rows[limit - 1][0]), str(rows[limit - 1][1])) if len(rows) > limit else None
    items = [
        LevelRead(
            sku=code,
            warehouse_code=warehouse,
            quantity_total=total,
            quantity_reserved=reserved,
            quantity_available=available,
        )
        for _, _, code, warehouse, total, reserved, available in rows[:limit]
    ]
    return Page(items=items, next_cursor=more)


@router.post(
    "/adjustments",
    status_code=201,
    responses=errors(UnknownSkuError, UnknownWarehouseError, InsufficientStockError, QuantityTooLargeError),
)
async def adjust(body: AdjustmentCreate, unit: WriteUnit, principal: Staff, now: Now) -> LevelRead:
    """Add units to a level or remove them; returns the level as it is then."""
    adjustment = Adjustment(body.sku, body.warehouse_code, body.delta, body.reason, principal.label)
    level = await adjust_stock(unit, adjustment, now=now)
    return LevelRead(
        sku=level.sku_code,
        warehouse_code=level.warehouse_code,
        quantity_total=level.total,
        quantity_reserved=level.reserved,
        quantity_available=level.available,
    )


@router.get("/reservations/{order_id}", responses=errors(UnknownReservationError))
async def reservation(order_id: UUID, unit: ReadUnit) -> ReservationRead:
    """Show what an order needs, holds and waits for."""
    demand, shelves = await read_reservation(unit, order_id)
    return ReservationRead(
        order_id=demand.order_id,
        order_version=demand.order_version,
        reservation_version=demand.reservation_version,
        status=demand.status.value,
        reason=reason_of(demand),
        message=demand.message(),
        lines=[DemandLineRead(sku=line.sku_code, quantity=line.quantity) for line in demand.lines],
        allocations=allocations_of(demand, shelves),
        shortages=[
            ShortLine(sku=short.sku_code, requested=short.requested, available=short.available)
            for short in demand.shortages
        ],
        unknown_skus=demand.unknown_skus,
        waiting_since=demand.waiting_since,
    )
