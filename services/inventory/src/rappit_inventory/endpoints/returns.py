"""Goods that came back."""

from typing import Annotated, Any
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
    NotShippedError,
    QuantityTooLargeError,
    UnknownReservationError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.endpoints.dependencies import Now, ReadUnit
from rappit_inventory.endpoints.paging import cut
from rappit_inventory.endpoints.repeatable import RepeatableWrite, repeatable
from rappit_inventory.schemas.documents import ReturnCreate, ReturnRead
from rappit_inventory.service.take_back import ReturnedLine, take_back

router = APIRouter(prefix="/returns", tags=["returns"], responses=errors(InvalidTokenError, MissingRoleError))


@router.post(
    "",
    status_code=201,
    response_model=ReturnRead,
    responses=repeatable(
        ReturnRead,
        UnknownReservationError,
        UnknownSkuError,
        UnknownWarehouseError,
        NotShippedError,
        QuantityTooLargeError,
    ),
)
async def add_return(body: ReturnCreate, write: RepeatableWrite, principal: Staff, now: Now) -> Response:
    """Take back units that an order was shipped: sellable ones are free at once, others are set aside."""
    lines = [ReturnedLine(x.sku, x.quantity, x.condition, x.warehouse_code) for x in body.lines]

    async def act() -> ReturnRead:
        returned = await take_back(write.unit, body.order_id, lines, reason=body.reason, actor=principal.label, now=now)
        return ReturnRead.model_validate(returned)

    return await write.once(act)


@router.get("", response_model=Page[ReturnRead], responses=errors(InvalidCursorError))
async def list_returns(
    unit: ReadUnit,
    order_id: Annotated[UUID | None, Query(description="Of this order only.")] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Any:
    """List returns, newest first."""
    rows = await unit.returns.page(order_id, limit=limit + 1, after=decode_id_cursor(cursor) if cursor else None)
    return {"items": rows[:limit], "next_cursor": cut(rows, limit, lambda row: (str(row.id),))}
