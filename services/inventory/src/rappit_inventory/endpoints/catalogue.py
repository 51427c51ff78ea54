"""SKUs and warehouses."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import (
    SkuExistsError,
    TooManyMatchesError,
    UnknownSkuError,
    UnknownWarehouseError,
    WarehouseExistsError,
)
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit
from rappit_inventory.endpoints.paging import cut
from rappit_inventory.models import Sku, Warehouse
from rappit_inventory.repository.catalogue import NewSku, SkuFilter
from rappit_inventory.schemas import (
    SkuChange,
    SkuCreate,
    SkuRead,
    SkusCreate,
    SkusCreated,
    WarehouseChange,
    WarehouseCreate,
    WarehouseRead,
)
from rappit_inventory.service import catalogue
from rappit_inventory.service.catalogue import NewWarehouse
from rappit_inventory.service.lookup import find_sku, find_warehouse

router = APIRouter(tags=["catalogue"], responses=errors(InvalidTokenError, MissingRoleError))


Text = Annotated[
    str | None,
    Query(min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="SKU code, name or barcode begins so."),
]
Active = Annotated[bool | None, Query(description="Only those that are, or are not, active.")]


def read_sku(sku: Sku) -> SkuRead:
    """Return a SKU as it is shown."""
    return SkuRead(
        id=sku.id,
        sku=sku.code,
        name=sku.name,
        barcode=sku.barcode,
        product=sku.product,
        options=sku.options,
        weight_g=sku.weight_g,
        length_mm=sku.length_mm,
        width_mm=sku.width_mm,
        height_mm=sku.height_mm,
        hs_code=sku.hs_code,
        country_of_origin=sku.country_of_origin,
        customs_description=sku.customs_description,
        active=sku.active,
        created_at=sku.created_at,
    )


def _new(body: SkuCreate) -> NewSku:
    return NewSku(body.sku, **body.model_dump(exclude={"sku"}))


@router.post("/warehouses", status_code=201, response_model=WarehouseRead, responses=errors(WarehouseExistsError))
async def add_warehouse(body: WarehouseCreate, unit: WriteUnit, now: Now) -> Warehouse:
    """Add a warehouse."""
    return await catalogue.add_warehouse(unit, NewWarehouse(**body.model_dump()), now=now)


@router.get("/warehouses", response_model=Page[WarehouseRead], responses=errors(InvalidCursorError))
async def list_warehouses(
    unit: ReadUnit, active: Active = None, limit: PageLimit = DEFAULT_PAGE_ROWS, cursor: PageCursor = None
) -> Any:
    """List warehouses, newest first."""
    after = decode_id_cursor(cursor) if cursor else None
    rows = await unit.catalogue.warehouse_page(limit=limit + 1, after=after, active=active)
    return {"items": rows[:limit], "next_cursor": cut(rows, limit, lambda row: (str(row.id),))}


@router.get("/warehouses/{code:path}", response_model=WarehouseRead, responses=errors(UnknownWarehouseError))
async def show_warehouse(code: str, unit: ReadUnit) -> Warehouse:
    """Show a warehouse."""
    return await find_warehouse(unit, code)


@router.patch("/warehouses/{code:path}", response_model=WarehouseRead, responses=errors(UnknownWarehouseError))
async def change_warehouse(code: str, body: WarehouseChange, unit: WriteUnit, now: Now) -> Warehouse:
    """Change a warehouse. One that is not active keeps its stock, but nothing more is promised from it or imported."""
    return await catalogue.change_warehouse(unit, code, body.model_dump(exclude_unset=True), now=now)


@router.post("/skus", status_code=201, responses=errors(SkuExistsError))
async def add_sku(body: SkuCreate, unit: WriteUnit, now: Now) -> SkuRead:
    """Add a SKU. Orders that were on hold for it are tried again."""
    return read_sku(await catalogue.add_sku(unit, _new(body), now=now))


@router.post("/skus/bulk")
async def add_skus(body: SkusCreate, unit: WriteUnit, now: Now) -> SkusCreated:
    """Add up to 5,000 SKUs in one transaction; those whose codes are taken are left as they are."""
    added = await catalogue.add_skus(unit, [_new(x) for x in body.items], now=now)
    total = len(body.items)
    return SkusCreated(total=total, created=len(added), existing=total - len(added))


@router.get("/skus", responses=errors(InvalidCursorError, TooManyMatchesError))
async def list_skus(
    unit: ReadUnit,
    text: Text = None,
    barcode: Annotated[str | None, Query(max_length=50, pattern=r"^[^\x00]*$", description="Exactly this.")] = None,
    product: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Of this product.")] = None,
    active: Active = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[SkuRead]:
    """List SKUs, newest first."""
    ids = await catalogue.search_skus(unit, text) if text is not None else None
    wanted = SkuFilter(ids, barcode, product, active)
    after = decode_id_cursor(cursor) if cursor else None
    rows = await unit.catalogue.sku_page(wanted, limit=limit + 1, after=after)
    more = cut(rows, limit, lambda row: (str(row.id),))
    return Page(items=[read_sku(row) for row in rows[:limit]], next_cursor=more)


@router.get("/skus/{code:path}", responses=errors(UnknownSkuError))
async def show_sku(code: str, unit: ReadUnit) -> SkuRead:
    """Show a SKU."""
    return read_sku(await find_sku(unit, code))


@router.patch("/skus/{code:path}", responses=errors(UnknownSkuError))
async def change_sku(code: str, body: SkuChange, unit: WriteUnit, now: Now) -> SkuRead:
    """Change a SKU. One that is not active is promised to no new order; those that wait for it keep their place."""
    return read_sku(await catalogue.change_sku(unit, code, body.model_dump(exclude_unset=True), now=now))
