"""Stock kept for carts, and by hand."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from rappit_common.errors import InvalidError
from rappit_common.idempotency import IdempotencyKey, IdempotencyKeyReusedError
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
    UnknownDocumentError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.domain.holds import Hold, HoldKind, HoldState
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.endpoints.paging import cut
from rappit_inventory.repository.holds import HoldFilter
from rappit_inventory.schemas.documents import Code
from rappit_inventory.schemas.holds import (
    HoldConversion,
    HoldCreate,
    HoldExtension,
    HoldLineRead,
    HoldRead,
    lasting,
)
from rappit_inventory.service import hold as holds
from rappit_inventory.service.hold import HoldStock
from rappit_inventory.unit import InventoryUnit

router = APIRouter(prefix="/holds", tags=["holds"], responses=errors(InvalidTokenError, MissingRoleError))


class HoldTooLongError(InvalidError):
    """A cart keeps stock from others for a day at most."""

    code = "hold_too_long"


@router.post(
    "",
    status_code=201,
    response_model=HoldRead,
    responses={
        200: {"model": HoldRead, "description": "The key was answered before: the same answer, and nothing was done."},
        **errors(
            UnknownSkuError,
            UnknownWarehouseError,
            InactiveWarehouseError,
            InsufficientStockError,
            IdempotencyKeyReusedError,
        ),
    },
)
async def make_hold(
    body: HoldCreate,
    request: Request,
    idempotency_key: IdempotencyKey,
    unit: WriteUnit,
    principal: Staff,
    now: Now,
) -> Response:
    """Keep units for a cart, or by hand: all of them, or none and the answer says what there is."""
    quantities: dict[str, int] = {}
    for line in body.lines:
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
    asked = HoldStock(
        kind=body.kind,
        quantities=quantities,
        actor=principal.label,
        warehouse_code=body.warehouse_code,
        lasts=lasting(body.kind, body.expires_in_s),
        reason=body.reason,
    )

    async def make() -> str:
        made = await holds.hold_stock(unit, asked, now=now)
        return (await _read(unit, made)).model_dump_json()

    answer = await unit.idempotency.once("POST /inventory/holds", idempotency_key, await request.body(), make)
    return Response(answer.text, 201 if answer.is_first else 200, media_type="application/json")


@router.get("", responses=errors(InvalidCursorError))
async def list_holds(
    unit: ReadUnit,
    kind: Annotated[HoldKind | None, Query(description="Only carts', or only manual ones.")] = None,
    state: Annotated[HoldState | None, Query(description="Only those that have come so far.")] = None,
    sku: Annotated[Code | None, Query(description="Only those that hold, or held, this SKU.")] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[HoldRead]:
    """List holds, newest first."""
    known = await unit.catalogue.sku(sku) if sku is not None else None
    if sku is not None and known is None:
        return Page(items=[])
    wanted = HoldFilter(kind, state, known.id if known else None)
    found = await unit.holds.page(wanted, limit=limit + 1, after=decode_id_cursor(cursor) if cursor else None)
    more = cut(found, limit, lambda hold: (str(hold.id),))
    return Page(items=await _read_all(unit, found[:limit]), next_cursor=more)


@router.get("/{hold_id}", responses=errors(UnknownDocumentError))
async def show_hold(hold_id: UUID, unit: ReadUnit) -> HoldRead:
    """Show a hold, and what became of it."""
    found = await unit.holds.get(hold_id)
    if found is None:
        raise holds.unknown_hold(hold_id)
    return await _read(unit, found)


@router.post("/{hold_id}/extend", responses=errors(UnknownDocumentError, DocumentClosedError, HoldTooLongError))
async def extend_hold(hold_id: UUID, body: HoldExtension, unit: WriteUnit, _: Staff, now: Now) -> HoldRead:
    """Give a hold more time, counted from now; it never ends sooner than it would have."""
    found = await unit.holds.get(hold_id)
    if found is None:
        raise holds.unknown_hold(hold_id)
    try:
        lasts = lasting(found.kind, body.expires_in_s)
    except ValueError as error:
        raise HoldTooLongError(f"Hold {hold_id} is a cart's: {error}.", hold_id=str(hold_id)) from error
    return await _read(unit, await holds.extend_hold(unit, hold_id, lasts, now=now))


@router.post("/{hold_id}/release", responses=errors(UnknownDocumentError, DocumentClosedError))
async def release_hold(hold_id: UUID, unit: WriteUnit, principal: Staff, now: Now) -> HoldRead:
    """Make a hold's units free. Once it has been released, or has expired, nothing happens."""
    return await _read(unit, await holds.release_hold(unit, hold_id, actor=principal.label, now=now))


@router.post("/{hold_id}/convert", responses=errors(UnknownDocumentError, DocumentClosedError))
async def convert_hold(hold_id: UUID, body: HoldConversion, unit: WriteUnit, _: Staff, now: Now) -> HoldRead:
    """Give a hold's units to an order; one that is not known yet takes them when it comes, before anybody else."""
    return await _read(unit, await holds.convert_hold(unit, hold_id, body.order_id, now=now))


async def _read(unit: InventoryUnit, hold: Hold) -> HoldRead:
    [read] = await _read_all(unit, [hold])
    return read


async def _read_all(unit: InventoryUnit, found: Sequence[Hold]) -> list[HoldRead]:
    skus = await unit.catalogue.sku_codes(key[0] for hold in found for key in hold.units)
    warehouses = await unit.catalogue.warehouse_codes(key[1] for hold in found for key in hold.units)
    return [
        HoldRead(
            id=hold.id,
            kind=hold.kind,
            state=hold.state,
            lines=[
                HoldLineRead(sku=skus[key[0]], warehouse_code=warehouses[key[1]], quantity=quantity)
                for key, quantity in sorted(hold.units.items())
            ],
            reason=hold.reason,
            created_by=hold.actor,
            created_at=hold.created_at,
            expires_at=hold.expires_at,
            ended_at=hold.ended_at,
            order_id=hold.order_id,
        )
        for hold in found
    ]
