"""Stock: the levels, an adjustment, and an import."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import Response
from rappit_common.logs import get_logger

from rappit_console.api_client import ApiError, ApiRefusedError
from rappit_console.pages.desk import Desk, SignedIn
from rappit_console.readers import Adjusted, ImportSummary, Level, PageOf, Warehouse
from rappit_console.views import Toast

PAGE_ROWS = "50"
SHOWN_FAILURES = 500
CHUNK_BYTES = 256 * 1024
TEMPLATE_CSV = "sku,quantity,warehouse_code\nSHIRT-RED-M,25,MAIN\nSHIRT-RED-L,40,MAIN\n"
ADJUSTED_EVENT = "stock-changed"

Text = Annotated[str, Form(max_length=500)]
Filter = Annotated[str, Query(max_length=255)]

router = APIRouter(prefix="/console/stock")
_log = get_logger()


@router.get("")
async def list_levels(
    desk: SignedIn, sku: Filter = "", warehouse_code: Filter = "", cursor: Annotated[str, Query(max_length=512)] = ""
) -> Response:
    """List stock levels; htmx asks for the list alone, or for the rows after a cursor."""
    reading = desk.api.get(
        "/inventory/levels",
        PageOf[Level],
        sku=sku.strip(),
        warehouse_code=warehouse_code,
        limit=PAGE_ROWS,
        cursor=cursor,
    )
    found, warehouses = await asyncio.gather(reading, _warehouses(desk))
    following = {"sku": sku, "warehouse_code": warehouse_code, "cursor": found.next_cursor or ""}
    context: dict[str, Any] = {
        "levels": found.items,
        "sku": sku,
        "warehouse_code": warehouse_code,
        "warehouses": warehouses,
        "more": f"/console/stock?{urlencode(following)}" if found.next_cursor else None,
    }
    if desk.wants_fragment:
        return desk.fragment("stock/_rows.html" if cursor else "stock/_list.html", **context)
    return desk.page("stock/list.html", adjusting=None, **context)


@router.get("/adjust")
async def show_adjustment(desk: SignedIn, sku: Filter = "", warehouse_code: Filter = "") -> Response:
    """Show the adjustment form, filled in for one level."""
    context: dict[str, Any] = {
        "warehouses": await _warehouses(desk),
        "adjusting": {"sku": sku, "warehouse_code": warehouse_code},
    }
    if desk.wants_fragment:
        return desk.fragment("stock/_adjust.html", **context)
    return desk.page("stock/adjust.html", **context)


@router.post("/adjust")
async def adjust_stock(
    desk: SignedIn, sku: Text = "", warehouse_code: Text = "", delta: Text = "", reason: Text = ""
) -> Response:
    """Change a level by a difference; a refusal is shown as inventory worded it."""
    change = whole(delta)
    body = {"sku": sku.strip(), "warehouse_code": warehouse_code, "delta": change, "reason": reason.strip()}
    adjusted = (await desk.api.call("POST", "/inventory/adjustments", body=body)).read(Adjusted)
    message = f"{sku.strip()} in {warehouse_code} changed by {change:+}." if isinstance(change, int) else "Adjusted."
    if adjusted.quantity_total is not None:
        message += f" On hand now: {adjusted.quantity_total}."
    response = desk.fragment(
        "stock/_adjust.html",
        toast=Toast("success", message),
        warehouses=await _warehouses(desk),
        adjusting={"sku": sku.strip(), "warehouse_code": warehouse_code},
    )
    response.headers["HX-Trigger"] = ADJUSTED_EVENT
    return response


@router.get("/import")
async def show_import(desk: SignedIn) -> Response:
    """Show where to drop a CSV."""
    return desk.page("stock/import.html", summary=None, file_name=None, shown_failures=SHOWN_FAILURES)


@router.get("/import/template.csv")
async def download_template(_desk: SignedIn) -> Response:
    """Hand out a CSV to start from."""
    headers = {"Content-Disposition": 'attachment; filename="rappit-stock-template.csv"'}
    return Response(TEMPLATE_CSV, headers=headers, media_type="text/csv; charset=utf-8")


@router.post("/import")
async def import_stock(desk: SignedIn, request: Request, file: UploadFile) -> Response:
    """Hand a CSV to inventory and show what it did with it, row by row where a row was refused."""
    timeout_s: float = request.app.state.import_timeout_s
    try:
        answer = await desk.api.call(
            "POST",
            "/inventory/bulk",
            content=_chunks(file),
            headers={"Content-Type": "text/csv; charset=utf-8"},
            timeout_s=timeout_s,
        )
    except ApiRefusedError as refusal:
        # A file refused whole may still come with its failing rows.
        if not isinstance(refusal.problem.get("errors"), list):
            raise
        summary = ImportSummary.model_validate(refusal.problem)
        toast = Toast("error", refusal.detail, refusal.trace_id)
        status = refusal.status
    else:
        summary = answer.read(ImportSummary)
        status = answer.status
        toast = _toast_of(summary)
    context: dict[str, Any] = {"summary": summary, "file_name": file.filename, "shown_failures": SHOWN_FAILURES}
    if not desk.wants_fragment:
        return desk.page("stock/import.html", status_code=status, **context)
    response = desk.fragment("stock/_summary.html", toast=toast, **context)
    response.status_code = status
    return response


def whole(text: str) -> int | str:
    """Return a whole number, or the text as it is, for the API to say what is wrong with it."""
    try:
        return int(text)
    except ValueError:
        return text


def _toast_of(summary: ImportSummary) -> Toast:
    done = f"{summary.succeeded} of {summary.total} rows imported"
    if summary.failed:
        return Toast("error", f"{done}; {summary.failed} failed and are listed below.")
    return Toast("success", f"{done}.")


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


async def _warehouses(desk: Desk) -> list[Warehouse] | None:
    """Return the warehouses, or None when inventory cannot tell: the forms then take the code as text."""
    try:
        return (await desk.api.get("/inventory/warehouses", PageOf[Warehouse], limit="200")).items
    except ApiError as error:
        _log.warning("warehouses_not_shown", error=error.detail)
        return None
