"""Set many levels at once from a file."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.stock import Source
from rappit_inventory.domain.stock_file import ErrorLog, RowError, StockRow
from rappit_inventory.repository.imports import event_headers
from rappit_inventory.service.announcements import announce_arrival
from rappit_inventory.unit import InventoryUnit

# Reading a row takes microseconds: after this many, other requests get their turn.
_ROWS_A_TURN = 1_000


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How an import treats bad rows, and whether it changes anything at all."""

    actor: str
    reject_all: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of a file's rows; of a dry run, what would have."""

    total: int
    succeeded: int
    failed: int
    updated: int
    unchanged: int
    applied: bool
    errors: list[RowError]


async def import_stock(
    unit: InventoryUnit, rows: Iterable[StockRow | RowError], options: ImportOptions, *, now: datetime
) -> ImportSummary:
    """Set the levels that the sound rows name, all in this transaction, beside reservations that go on.

    Args:
        unit: The transaction.
        rows: Checked rows, read as they are needed.
        options: What is to happen to the rest when a row is bad.
        now: When.
    """
    log = ErrorLog()
    staged = 0

    async def sound() -> AsyncIterator[tuple[int, str, str, int]]:
        nonlocal staged
        for position, row in enumerate(rows):
            if position % _ROWS_A_TURN == 0:
                await asyncio.sleep(0)
            if isinstance(row, RowError):
                log.add(row)
            else:
                staged += 1
                yield row.line, row.sku, row.warehouse_code, row.quantity

    await unit.imports.stage(sound())
    if await unit.imports.has_new_levels():
        await unit.locks.extend_catalogue()
    else:
        await unit.locks.read_catalogue()
    counts = await unit.imports.lock()
    total = log.count + staged
    log.merge(counts.failed, await unit.imports.refused(log.limit) if counts.failed else [])
    if options.reject_all and log.count:
        return ImportSummary(total, 0, log.count, 0, 0, applied=False, errors=log.first)
    if counts.updated and not options.dry_run:
        source = Source("import", new_id(), options.actor, current_trace_id(), "bulk import")
        await unit.imports.apply(source, now)
        headers = json.dumps(event_headers(unit.organization_id))
        await unit.imports.announce(headers, now)
        await unit.imports.announce_low(source, headers, now)
        unit.outbox.used = True
        unit.forget_availability()
        announce_arrival(unit, await unit.imports.awaited(), now=now)
    return ImportSummary(
        total,
        counts.updated + counts.unchanged,
        log.count,
        counts.updated,
        counts.unchanged,
        applied=not options.dry_run,
        errors=log.first,
    )
