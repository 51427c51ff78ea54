"""Set or raise many levels at once from a file."""

import json
from collections.abc import Iterable
from datetime import datetime

from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.imports import ImportSummary, ImportWork
from rappit_inventory.domain.stock import Source
from rappit_inventory.domain.stock_file import StockRow
from rappit_inventory.domain.table_file import RowError
from rappit_inventory.repository.import_announcements import event_headers
from rappit_inventory.service.announcements import announce_arrival
from rappit_inventory.service.reading import Reading
from rappit_inventory.unit import InventoryUnit


async def import_stock(
    unit: InventoryUnit, rows: Iterable[StockRow | RowError], work: ImportWork, *, now: datetime
) -> ImportSummary:
    """Write the levels that the sound rows name, all in this transaction, beside reservations that go on.

    Args:
        unit: The transaction.
        rows: Checked rows, read as they are needed.
        work: What is to happen to them, and where the failed ones are noted.
        now: When.
    """
    options, plan = work.options, unit.imports
    reading = Reading(rows, work.progress)
    await plan.stage(reading.batches(), create_missing_skus=options.create_missing_skus)
    work.progress.phase = "checking"
    if await plan.has_new_levels():
        await unit.locks.extend_catalogue()
        if options.create_missing_skus:
            await plan.name_missing_skus()
    else:
        await unit.locks.read_catalogue()
    counts = await plan.lock(options.mode)
    failed = reading.failed + counts.failed
    if failed:
        await plan.keep_errors(work.import_id, counts)
    rejected = options.reject_all and failed > 0
    applied = not (rejected or options.dry_run)
    if applied and counts.created + counts.updated:
        work.progress.phase = "applying"
        waiting = await plan.add_missing_skus() if counts.missing_skus else []
        source = Source("import", work.import_id, work.actor, current_trace_id(), "bulk import")
        await plan.apply(source, now)
        headers, news = json.dumps(event_headers(unit.organization_id)), unit.import_announcements
        await news.changed(headers, now)
        await news.low(source, headers, now)
        unit.outbox.used = True
        unit.forget_availability()
        announce_arrival(unit, sorted({*waiting, *await news.awaited()}), now=now)
    if rejected:
        return ImportSummary.of_rejected(reading.total, failed)
    return ImportSummary.of_rows(
        reading.total,
        failed,
        created=counts.created,
        updated=counts.updated,
        unchanged=counts.unchanged,
        created_skus=counts.missing_skus,
        applied=applied,
    )
