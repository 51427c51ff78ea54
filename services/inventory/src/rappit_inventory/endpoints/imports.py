"""The bulk import of stock."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Principal, Staff, tenant_of
from rappit_common.web.problems import errors

from rappit_inventory.domain.stock_file import (
    MissingColumnError,
    RowError,
    StockFile,
    StockRow,
    UnreadableFileError,
    check_row,
)
from rappit_inventory.endpoints.dependencies import Now, units_of
from rappit_inventory.endpoints.uploads import (
    FileTooLargeError,
    MissingFileError,
    UnreadableFormError,
    UnsupportedMediaTypeError,
    bounded_stream,
    received_file,
)
from rappit_inventory.schemas import ImportError_, ImportRead, StockItems
from rappit_inventory.service.import_stock import ImportOptions, ImportSummary, import_stock

# A JSON import is read whole, a CSV is not.
MAX_JSON_BYTES = 11 * 1024 * 1024

router = APIRouter(tags=["import"], responses=errors(InvalidTokenError, MissingRoleError))


_JSON_ROW = {"sku": {"type": "string"}, "quantity": {"type": "integer"}, "warehouse_code": {"type": "string"}}
_JSON_SCHEMA = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object", "required": list(_JSON_ROW), "properties": _JSON_ROW}}
    },
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string", "example": "sku,quantity,warehouse_code\nTEE-M,12,BER\n"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
            "application/json": {"schema": _JSON_SCHEMA},
        },
    }
}


@router.post(
    "/bulk",
    responses=errors(
        UnreadableFileError,
        MissingColumnError,
        MissingFileError,
        UnreadableFormError,
        UnsupportedMediaTypeError,
        FileTooLargeError,
    ),
    openapi_extra=_BODY,
)
async def bulk_import(
    request: Request,
    principal: Staff,
    now: Now,
    on_error: Annotated[
        Literal["apply_valid", "reject_all"],
        Query(description="What one bad row does: leaves the others be, or keeps them all from being applied."),
    ] = "apply_valid",
    dry_run: Annotated[bool, Query(description="Say what would happen, and change nothing.")] = False,  # noqa: FBT002 - a query parameter
) -> ImportRead:
    """Set levels from a CSV or JSON: on hand of a SKU in a warehouse becomes the quantity given."""
    started = time.perf_counter()
    options = ImportOptions(principal.label, reject_all=on_error == "reject_all", dry_run=dry_run)
    content_type = request.headers.get("content-type", "")
    warnings: list[str] = []
    # The body is received before the transaction begins: a slow sender holds no lock.
    if content_type.partition(";")[0].strip().lower() == "application/json":
        rows = _json_rows(b"".join([chunk async for chunk in bounded_stream(request, MAX_JSON_BYTES)]))
        summary = await _import(request, principal, rows, options, now)
    else:
        async with received_file(request, content_type) as stream:
            file = await asyncio.to_thread(StockFile, stream)
            warnings = file.warnings
            summary = await _import(request, principal, file.rows(), options, now)
    return ImportRead(
        total=summary.total,
        succeeded=summary.succeeded,
        failed=summary.failed,
        updated=summary.updated,
        unchanged=summary.unchanged,
        applied=summary.applied,
        duration_ms=round((time.perf_counter() - started) * 1000, 1),
        errors=[ImportError_(**asdict(error)) for error in summary.errors],
        warnings=warnings,
    )


async def _import(
    request: Request, principal: Principal, rows: Iterable[StockRow | RowError], options: ImportOptions, now: Now
) -> ImportSummary:
    async with units_of(request).begin(tenant_of(principal)) as unit:
        return await import_stock(unit, rows, options, now=now)


def _json_rows(body: bytes) -> list[StockRow | RowError]:
    try:
        items = StockItems.model_validate_json(body).items
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UnreadableFileError(
            f'The body is not {{"items": [{{"sku", "quantity", "warehouse_code"}}]}}: {place} {first["msg"]}.'
        ) from error
    return [
        check_row(line, _text(item.sku), _text(item.quantity), _text(item.warehouse_code))
        for line, item in enumerate(items, start=1)
    ]


def _text(value: object) -> str:
    return "" if value is None else str(value)
