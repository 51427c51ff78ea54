"""Take a file in: apply it at once, or keep it for a worker. Each file that was read has its place in the history."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.catalogue_file import catalogue_rows, columns_of, open_catalogue_file
from rappit_inventory.domain.imports import (
    ImportFinishedError,
    ImportKeyReusedError,
    ImportKind,
    ImportOptions,
    ImportStatus,
    ImportSummary,
    ImportWork,
)
from rappit_inventory.domain.stock_file import open_stock_file, stock_rows
from rappit_inventory.domain.table_file import RowError, TableFile
from rappit_inventory.models import ImportRow
from rappit_inventory.repository.import_jobs import FileFacts, options_of
from rappit_inventory.service.import_catalogue import import_catalogue
from rappit_inventory.service.import_stock import import_stock
from rappit_inventory.unit import InventoryUnit

MAX_ANSWERED_ERRORS = 1_000


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that has come in whole.

    Attributes:
        stream: Its bytes.
        facts: What is known of it.
        file: The same, opened as what it is said to be.
    """

    stream: BinaryIO
    facts: FileFacts
    file: TableFile


@dataclass(frozen=True, slots=True)
class Taken:
    """An import as it stands, with the first of its failed rows."""

    row: ImportRow
    errors: Sequence[RowError]


def open_file(kind: ImportKind, stream: BinaryIO, *, counts_rows: bool) -> TableFile:
    """Find out what kind of file it is.

    Raises:
        UnreadableFileError: It is empty, in UTF-16, or not CSV.
        MissingColumnError: A column is missing.
    """
    opener = open_stock_file if kind is ImportKind.STOCK else open_catalogue_file
    return opener(stream, counts_rows=counts_rows)


async def take_import(
    unit: InventoryUnit,
    upload: Upload,
    options: ImportOptions,
    actor: str,
    *,
    as_job: bool,
    now: datetime,
    idempotency_key: str | None = None,
) -> Taken:
    """Apply a file in this transaction, or keep it for a worker; under a key that was used, answer as before.

    Raises:
        ImportKeyReusedError: The key stands for another file or other options.
        UnreadableFileError: Somewhere the file ceases to be CSV.
    """
    started = time.perf_counter()
    row = _new_row(upload, options, actor, as_job=as_job, now=now, idempotency_key=idempotency_key)
    if not await unit.import_jobs.add(row, unit.organization_id):
        return await _remembered(unit, row)
    await unit.import_jobs.keep_file(row.id, unit.organization_id, upload.stream)
    if not as_job:
        work = ImportWork(row.id, actor, options)
        summary, warnings = await apply_file(unit, upload.file, upload.facts.sha256, work, now=now)
        duration_ms = round((time.perf_counter() - started) * 1000, 1)
        await unit.import_jobs.finish(row.id, summary, warnings, duration_ms=duration_ms, now=now)
    return await read_import(unit, row.id)


async def apply_file(
    unit: InventoryUnit, file: TableFile, sha256: bytes, work: ImportWork, *, now: datetime
) -> tuple[ImportSummary, list[str]]:
    """Apply an opened file; returns what became of it and what a person should know besides."""
    seen = await unit.import_jobs.seen_before(work.options.kind, sha256, work.import_id)
    warnings = list(file.warnings)
    if seen is not None:
        warnings.append(
            f"This very file was imported before, at {seen.created_at:%Y-%m-%d %H:%M:%S} UTC as {seen.id}; "
            "it was applied again."
        )
    if work.options.kind is ImportKind.STOCK:
        return await import_stock(unit, stock_rows(file), work, now=now), warnings
    rows, columns = catalogue_rows(file), columns_of(file)
    return await import_catalogue(unit, rows, columns, work, now=now), warnings


async def read_import(unit: InventoryUnit, import_id: UUID) -> Taken:
    """Return an import as it stands.

    Raises:
        UnknownImportError: There is none.
    """
    row = await unit.import_jobs.get(import_id)
    failed = row.summary is not None and row.summary["failed"]
    return Taken(row, await unit.import_jobs.failures(row.id, limit=MAX_ANSWERED_ERRORS) if failed else [])


async def cancel_import(unit: InventoryUnit, import_id: UUID, *, now: datetime) -> ImportRow:
    """End a waiting import, or ask the worker that runs it to.

    Raises:
        UnknownImportError: There is none.
        ImportFinishedError: It has ended.
    """
    if not await unit.import_jobs.cancel(import_id, now):
        status = (await unit.import_jobs.get(import_id)).status
        message = f"The import has ended ({status}): there is nothing to cancel."
        raise ImportFinishedError(message, import_id=str(import_id), status=status)
    return await unit.import_jobs.get(import_id)


async def _remembered(unit: InventoryUnit, row: ImportRow) -> Taken:
    known = await unit.import_jobs.by_key(ImportKind(row.kind), row.idempotency_key or "")
    if known.file_sha256 != row.file_sha256 or options_of(known) != options_of(row):
        raise ImportKeyReusedError(
            f"The idempotency key {row.idempotency_key!r} was used for another file or other options. "
            "Give each import a key of its own.",
            idempotency_key=row.idempotency_key,
            import_id=str(known.id),
        )
    return await read_import(unit, known.id)


def _new_row(
    upload: Upload,
    options: ImportOptions,
    actor: str,
    *,
    as_job: bool,
    now: datetime,
    idempotency_key: str | None,
) -> ImportRow:
    return ImportRow(
        id=new_id(),
        kind=options.kind.value,
        status=ImportStatus.QUEUED.value,
        mode=options.mode.value,
        reject_all=options.reject_all,
        dry_run=options.dry_run,
        create_missing_skus=options.create_missing_skus,
        is_job=as_job,
        counts_rows=upload.facts.counts_rows,
        file_name=upload.facts.name,
        file_bytes=upload.facts.size_bytes,
        file_sha256=upload.facts.sha256,
        idempotency_key=idempotency_key,
        actor=actor,
        trace_id=current_trace_id(),
        created_at=now,
        attempts=0,
        cancel_requested=False,
        phase="waiting" if as_job else "done",
        rows_read=0,
        warnings=upload.file.warnings,
    )
