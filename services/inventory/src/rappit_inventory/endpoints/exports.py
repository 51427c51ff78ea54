"""Levels as a CSV that can be edited and imported again."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Viewer, tenant_of
from rappit_common.web.problems import errors

from rappit_inventory.domain.errors import UnknownWarehouseError
from rappit_inventory.domain.stock_file import COLUMNS
from rappit_inventory.domain.table_file import defused
from rappit_inventory.endpoints.dependencies import units_of
from rappit_inventory.endpoints.import_history import csv_response

ROWS_A_PART = 2_000
# The import's own columns first; it passes by the others.
EXPORTED = (
    *COLUMNS,
    "quantity_reserved",
    "quantity_available",
    "quantity_damaged",
    "quantity_quarantined",
    "name",
)

router = APIRouter(tags=["stock"], responses=errors(InvalidTokenError, MissingRoleError))


@router.get("/levels/export", response_class=StreamingResponse, responses=errors(UnknownWarehouseError))
async def export_levels(
    request: Request,
    principal: Viewer,
    warehouse_code: Annotated[
        str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="In this warehouse only.")
    ] = None,
) -> Response:
    """Download all levels. Each row was true when it was read; levels go on moving meanwhile."""
    organization_id = tenant_of(principal)
    warehouse_id = None
    if warehouse_code is not None:
        async with units_of(request).begin(organization_id) as unit:
            warehouse = await unit.catalogue.warehouse(warehouse_code)
        if warehouse is None:
            raise UnknownWarehouseError(f"Unknown warehouse {warehouse_code}.", warehouse_code=warehouse_code)
        warehouse_id = warehouse.id
    return csv_response(_levels(request, organization_id, warehouse_id), "rappit-stock.csv")


async def _levels(request: Request, organization_id: UUID, warehouse_id: UUID | None) -> AsyncIterator[str]:
    yield ",".join(EXPORTED) + "\r\n"
    after: tuple[UUID, UUID] | None = None
    while True:
        async with units_of(request).begin(organization_id) as unit:
            rows = await unit.exports.levels(after=after, warehouse_id=warehouse_id, limit=ROWS_A_PART)
        if not rows:
            return
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerows(
            (defused(sku), total, defused(place), *quantities, defused(name))
            for _, _, sku, total, place, *quantities, name in rows
        )
        yield text.getvalue()
        after = (rows[-1].sku_id, rows[-1].warehouse_id)
