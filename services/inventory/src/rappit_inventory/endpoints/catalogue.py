"""SKUs and warehouses."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_cursor,
    encode_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import SkuExistsError, WarehouseExistsError
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.models import Sku, Warehouse
from rappit_inventory.repository.catalogue import NewSku
from rappit_inventory.schemas import SkuCreate, SkuRead, SkusCreate, SkusCreated, WarehouseCreate, WarehouseRead
from rappit_inventory.service import catalogue
from rappit_inventory.service.catalogue import NewWarehouse

router = APIRouter(tags=["catalogue"], responses=errors(InvalidTokenError, MissingRoleError))


def id_of(cursor: str) -> UUID:
    """Return the id in a cursor of a list sorted by id.

    Raises:
        InvalidCursorError: It holds none.
    """
    try:
        return UUID(decode_cursor(cursor, 1)[0])
    except ValueError as error:
        raise InvalidCursorError("The cursor is not one of this list's: start again without it.") from error


def _read(sku: Sku) -> SkuRead:
    return SkuRead(id=sku.id, sku=sku.code, name=sku.name, barcode=sku.barcode, created_at=sku.created_at)


@router.post("/warehouses", status_code=201, response_model=WarehouseRead, responses=errors(WarehouseExistsError))
async def add_warehouse(body: WarehouseCreate, unit: WriteUnit, now: Now) -> Warehouse:
    """Add a warehouse."""
    new = NewWarehouse(body.code, body.name, body.priority, body.country_code)
    return await catalogue.add_warehouse(unit, new, now=now)


@router.get("/warehouses", response_model=Page[WarehouseRead], responses=errors(InvalidCursorError))
async def list_warehouses(unit: ReadUnit, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None) -> Any:
    """List warehouses, newest first."""
    after = id_of(cursor) if cursor else None
    rows = await unit.catalogue.warehouse_page(limit=limit + 1, after=after)
    more = encode_cursor(str(rows[limit - 1].id)) if len(rows) > limit else None
    return {"items": rows[:limit], "next_cursor": more}


@router.post("/skus", status_code=201, responses=errors(SkuExistsError))
async def add_sku(body: SkuCreate, unit: WriteUnit, now: Now) -> SkuRead:
    """Add a SKU. Orders that were on hold for it are tried again."""
    return _read(await catalogue.add_sku(unit, NewSku(body.sku, body.name, body.barcode), now=now))


@router.post("/skus/bulk")
async def add_skus(body: SkusCreate, unit: WriteUnit, now: Now) -> SkusCreated:
    """Add up to 5,000 SKUs in one transaction; those whose codes are taken are left as they are."""
    added = await catalogue.add_skus(unit, [NewSku(x.sku, x.name, x.barcode) for x in body.items], now=now)
    total = len(body.items)
    return SkusCreated(total=total, created=len(added), existing=total - len(added))


@router.get("/skus", responses=errors(InvalidCursorError))
async def list_skus(unit: ReadUnit, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None) -> Page[SkuRead]:
    """List SKUs, newest first."""
    rows = await unit.catalogue.sku_page(limit=limit + 1, after=id_of(cursor) if cursor else None)
    more = encode_cursor(str(rows[limit - 1].id)) if len(rows) > limit else None
    return Page(items=[_read(row) for row in rows[:limit]], next_cursor=more)
