"""Add and change many SKUs at once from a file."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rappit_inventory.domain.catalogue_file import CatalogueColumn, CatalogueRow
from rappit_inventory.domain.imports import ImportSummary, ImportWork
from rappit_inventory.domain.table_file import RowError
from rappit_inventory.service.announcements import announce_arrival
from rappit_inventory.service.reading import Reading
from rappit_inventory.unit import InventoryUnit


async def import_catalogue(
    unit: InventoryUnit,
    rows: Iterable[CatalogueRow | RowError],
    columns: Sequence[CatalogueColumn],
    work: ImportWork,
    *,
    now: datetime,
) -> ImportSummary:
    """Write the SKUs that the sound rows name, all in this transaction; orders that waited for one are served.

    Args:
        unit: The transaction.
        rows: Checked rows, read as they are needed.
        columns: What their values are.
        work: What is to happen to them, and where the failed ones are noted.
        now: When.
    """
    options, plan = work.options, unit.catalogue_imports
    flat = (row if isinstance(row, RowError) else (row.line, row.sku, *row.values) for row in rows)
    reading = Reading(flat, work.progress)
    await plan.stage(reading.batches(), columns)
    work.progress.phase = "checking"
    await unit.locks.extend_catalogue()
    counts = await plan.plan(options.mode, columns)
    failed = reading.failed + counts.failed
    if failed:
        await plan.keep_errors(work.import_id, counts)
    rejected = options.reject_all and failed > 0
    applied = not (rejected or options.dry_run)
    if applied and counts.created + counts.updated:
        work.progress.phase = "applying"
        await plan.apply(columns, now)
        announce_arrival(unit, await plan.awaited(), now=now)
    if rejected:
        return ImportSummary.of_rejected(reading.total, failed)
    return ImportSummary.of_rows(
        reading.total,
        failed,
        created=counts.created,
        updated=counts.updated,
        unchanged=counts.unchanged,
        created_skus=counts.created,
        applied=applied,
    )
