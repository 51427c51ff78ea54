"""Imports that were made or are being made: their history, their progress, their failed rows."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from rappit_common.errors import TooManyRequestsError
from rappit_common.pagination import (
    DEFAULT_PAGE_ROWS,
    InvalidCursorError,
    Page,
    PageCursor,
    PageLimit,
    decode_id_cursor,
    encode_cursor,
)
from rappit_common.web.auth import InvalidTokenError, MissingRoleError, Staff, Viewer, tenant_of
from rappit_common.web.problems import errors

from rappit_inventory.domain import catalogue_file, stock_file
from rappit_inventory.domain.imports import (
    ImportFileRemovedError,
    ImportFinishedError,
    ImportKind,
    ImportStatus,
    UnknownImportError,
)
from rappit_inventory.domain.table_file import ERROR_COLUMNS, RowError, defused
from rappit_inventory.endpoints.dependencies import Now, ReadUnit, WriteUnit, units_of
from rappit_inventory.endpoints.import_views import job_detail, job_read
from rappit_inventory.flows.files import kept_file
from rappit_inventory.models import ImportRow
from rappit_inventory.schemas import ImportJobDetail, ImportJobRead
from rappit_inventory.service.take_import import cancel_import, open_file, read_import

POLL_S = 0.5
KEEP_ALIVE_S = 15.0
MAX_WATCH_S = 600.0
MAX_WATCHERS = 100
ROWS_A_PART = 500

router = APIRouter(tags=["import"], responses=errors(InvalidTokenError, MissingRoleError))


class TooManyWatchersError(TooManyRequestsError):
    """This process serves as many event streams as it may."""

    code = "too_many_watchers"


def csv_response(content: str | AsyncIterator[str], file_name: str) -> Response:
    """Return a CSV to be downloaded."""
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"', "X-Accel-Buffering": "no"}
    media_type = "text/csv; charset=utf-8"
    if isinstance(content, str):
        return Response(content, headers=headers, media_type=media_type)
    return StreamingResponse(content, headers=headers, media_type=media_type)


@router.get("/imports", responses=errors(InvalidCursorError))
async def list_imports(
    unit: ReadUnit,
    kind: Annotated[ImportKind | None, Query(description="Of stock or of the catalogue only.")] = None,
    limit: PageLimit = DEFAULT_PAGE_ROWS,
    cursor: PageCursor = None,
) -> Page[ImportJobRead]:
    """List imports, newest first."""
    after = decode_id_cursor(cursor) if cursor else None
    rows = await unit.import_jobs.page(kind=kind, limit=limit + 1, after=after)
    more = encode_cursor(str(rows[limit - 1].id)) if len(rows) > limit else None
    return Page(items=[job_read(row) for row in rows[:limit]], next_cursor=more)


@router.get("/imports/template", response_class=Response)
async def download_template(
    _principal: Viewer, kind: Annotated[ImportKind, Query(description="Of what.")] = ImportKind.STOCK
) -> Response:
    """Hand out a CSV to start from."""
    template = stock_file.TEMPLATE_CSV if kind is ImportKind.STOCK else catalogue_file.TEMPLATE_CSV
    return csv_response(template, f"rappit-{kind.value}-template.csv")


@router.get("/imports/{import_id}", responses=errors(UnknownImportError))
async def read_one(unit: ReadUnit, import_id: UUID) -> ImportJobDetail:
    """Show where an import stands, and why rows of it failed."""
    return job_detail(await read_import(unit, import_id))


@router.post("/imports/{import_id}/cancel", responses=errors(UnknownImportError, ImportFinishedError))
async def cancel_one(unit: WriteUnit, _principal: Staff, now: Now, import_id: UUID) -> ImportJobRead:
    """Cancel an import that waits, or ask for the end of one that runs: it changes nothing, or has just ended."""
    return job_read(await cancel_import(unit, import_id, now=now))


@router.get(
    "/imports/{import_id}/events",
    response_class=StreamingResponse,
    responses=errors(UnknownImportError, TooManyWatchersError),
)
async def watch_one(request: Request, principal: Viewer, import_id: UUID) -> StreamingResponse:
    """Tell how an import comes along, as server-sent events: `progress` with each change, `end` when it has ended.

    Any replica can serve it, since it reads the table. It ends after 10 minutes at most; a client connects again.
    """
    organization_id = tenant_of(principal)
    units = units_of(request)
    async with units.begin(organization_id) as unit:
        await unit.import_jobs.get(import_id)
    watchers = _watchers_of(request)
    if watchers.locked():
        message = f"{MAX_WATCHERS} imports are being watched here: ask for the import itself instead."
        raise TooManyWatchersError(message, retry_after_s=5)

    async def read() -> ImportRow:
        async with units.begin(organization_id) as unit:
            return await unit.import_jobs.get(import_id)

    async def events() -> AsyncIterator[str]:
        async with watchers:
            last = ""
            spoken = started = time.monotonic()
            yield "retry: 1000\n\n"
            while time.monotonic() - started < MAX_WATCH_S:
                row = await read()
                body = job_read(row).model_dump_json()
                is_final = ImportStatus(row.status).is_final
                if body != last:
                    yield f"event: {'end' if is_final else 'progress'}\ndata: {body}\n\n"
                    last, spoken = body, time.monotonic()
                elif time.monotonic() - spoken > KEEP_ALIVE_S:
                    yield ": still there\n\n"
                    spoken = time.monotonic()
                if is_final:
                    return
                await asyncio.sleep(POLL_S)

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), headers=headers, media_type="text/event-stream")


def _watchers_of(request: Request) -> asyncio.Semaphore:
    state = request.app.state
    if not hasattr(state, "import_watchers"):
        state.import_watchers = asyncio.Semaphore(MAX_WATCHERS)
    watchers: asyncio.Semaphore = state.import_watchers
    return watchers


@router.get(
    "/imports/{import_id}/errors.csv",
    response_class=StreamingResponse,
    responses=errors(UnknownImportError, ImportFileRemovedError),
)
async def download_errors(request: Request, principal: Viewer, import_id: UUID) -> Response:
    """Download the failed rows with their own columns, and why each failed: mend them and send the file again."""
    organization_id = tenant_of(principal)
    async with units_of(request).begin(organization_id) as unit:
        row = await unit.import_jobs.get(import_id)
    if row.files_removed_at is not None:
        at = row.files_removed_at.astimezone(UTC)
        raise ImportFileRemovedError(
            f"The file and its failed rows were removed at {at:%Y-%m-%d}: send the file again."
        )
    return csv_response(_failed_rows(request, organization_id, row), f"rappit-import-{import_id}-errors.csv")


async def _failed_rows(request: Request, organization_id: UUID, row: ImportRow) -> AsyncIterator[str]:
    units = units_of(request)
    async with kept_file(units, organization_id, row.id) as stream:
        file = await asyncio.to_thread(open_file, ImportKind(row.kind), stream, counts_rows=row.counts_rows)
        places = [at for at, name in enumerate(file.header) if name.strip().lower() not in ERROR_COLUMNS]
        yield _csv_part([[*(file.header[at] for at in places), *ERROR_COLUMNS]])
        rows = file.raw_rows()
        after = -1
        while True:
            async with units.begin(organization_id) as unit:
                failures = await unit.import_jobs.failures(row.id, after_line=after, limit=ROWS_A_PART)
            if not failures:
                return
            yield await asyncio.to_thread(_rows_that_failed, rows, failures, places)
            after = failures[-1].line


def _rows_that_failed(
    rows: Iterator[tuple[int, list[str]]], failures: Sequence[RowError], places: Sequence[int]
) -> str:
    """Read on in the file until each failure has met its row."""
    lines: list[list[str]] = []
    for failure in failures:
        values = next(values for line, values in rows if line == failure.line)
        own = [values[at] if at < len(values) else "" for at in places]
        lines.append([*own, str(failure.line), failure.field, failure.code, failure.message])
    return _csv_part(lines)


def _csv_part(lines: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([defused(value) for value in line] for line in lines)
    return text.getvalue()
