"""Levels and adjustments."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from rappit_common.pagination import DEFAULT_PAGE_ROWS, InvalidCursorError, Page, PageCursor, PageLimit
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import (
    InsufficientStockError,
    QuantityTooLargeError,
    TooManyMatchesError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.domain.stock import Level
from rappit_inventory.endpoints.catalogue import Text
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.endpoints.paging import cut, two_ids
from rappit_inventory.endpoints.repeatable import RepeatableWrite, repeatable
from rappit_inventory.schemas import AdjustmentCreate, LevelRead, ListedLevel
from rappit_inventory.schemas.documents import StateMoveCreate, ThresholdsChange
from rappit_inventory.service.adjust import Adjustment, StateMove, adjust_stock, move_state, set_thresholds
from rappit_inventory.service.find_levels import find_levels

router = APIRouter(tags=["stock"], responses=errors(InvalidTokenError, MissingRoleError))


def _read(level: Level) -> LevelRead:
    return LevelRead(
        sku=level.sku_code,
        warehouse_code=level.warehouse_code,
        quantity_total=level.total,
        quantity_reserved=level.reserved,
        quantity_available=level.available,
        quantity_unavailable=level.unavailable,
        quantity_damaged=level.damaged,
        quantity_quarantined=level.quarantined,
    )


@router.get("/levels", responses=errors(InvalidCursorError, TooManyMatchesError))
async def list_levels(
    unit: ReadUnit,
    sku: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Of this SKU only.")] = None,
    warehouse_code: Annotated[
        str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="In this warehouse only.")
    ] = None,
    text: Text = None,
    low_stock: Annotated[bool, Query(description="Only those at or below their reorder points.")] = False,  # noqa: FBT002 - a query parameter
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[ListedLevel]:
    """List levels, in the order in which SKUs were added."""
    wanted = await find_levels(unit, sku=sku, warehouse_code=warehouse_code, text=text, low_only=low_stock)
    if wanted is None:
        return Page(items=[])
    after = two_ids(cursor) if cursor else None
    rows = await unit.level_list.page(wanted, limit=limit + 1, after=after)
    more = cut(rows, limit, lambda row: (str(row.sku_id), str(row.warehouse_id)))
    items = [
        ListedLevel(
            sku=row.sku,
            warehouse_code=row.warehouse_code,
            quantity_total=row.quantity_total,
            quantity_reserved=row.quantity_reserved,
            quantity_available=row.quantity_available,
            quantity_unavailable=row.quantity_damaged + row.quantity_quarantined,
            quantity_damaged=row.quantity_damaged,
            quantity_quarantined=row.quantity_quarantined,
            quantity_in_transit=row.quantity_in_transit,
            reorder_point=row.reorder_point,
            safety_stock=row.safety_stock,
            is_low=row.is_low,
        )
        for row in rows[:limit]
    ]
    return Page(items=items, next_cursor=more)


@router.patch("/levels", responses=errors(UnknownSkuError, UnknownWarehouseError))
async def set_level(body: ThresholdsChange, unit: WriteUnit, now: Now) -> LevelRead:
    """Set when a level is low, and how much of it channels are not told of."""
    thresholds = body.model_dump(exclude_unset=True, exclude={"sku", "warehouse_code"})
    return _read(await set_thresholds(unit, body.sku, body.warehouse_code, thresholds, now=now))


@router.post(
    "/adjustments",
    status_code=201,
    response_model=LevelRead,
    responses=repeatable(
        LevelRead, UnknownSkuError, UnknownWarehouseError, InsufficientStockError, QuantityTooLargeError
    ),
)
async def adjust(body: AdjustmentCreate, write: RepeatableWrite, principal: Staff, now: Now) -> Response:
    """Add units to a level or remove them; returns the level as it is then."""
    adjustment = Adjustment(body.sku, body.warehouse_code, body.delta, body.reason, principal.label, body.reason_code)

    async def act() -> LevelRead:
        return _read(await adjust_stock(write.unit, adjustment, now=now))

    return await write.once(act)


@router.post(
    "/state-moves",
    status_code=201,
    response_model=LevelRead,
    responses=repeatable(LevelRead, UnknownSkuError, UnknownWarehouseError, InsufficientStockError),
)
async def move_between_states(body: StateMoveCreate, write: RepeatableWrite, principal: Staff, now: Now) -> Response:
    """Set units of a level aside as damaged or quarantined, or bring them back; returns the level as it is then."""
    move = StateMove(
        body.sku,
        body.warehouse_code,
        body.quantity,
        body.from_state,
        body.to_state,
        body.reason,
        principal.label,
        body.reason_code,
    )

    async def act() -> LevelRead:
        return _read(await move_state(write.unit, move, now=now))

    return await write.once(act)
