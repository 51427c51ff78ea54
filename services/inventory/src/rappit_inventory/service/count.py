"""Count shelves, and bring levels in line with what was found once somebody agrees."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.errors import (
    ApprovalByAnotherError,
    DocumentClosedError,
    InsufficientStockError,
    NotCountedError,
    UnknownDocumentError,
    UnknownSkuError,
)
from rappit_inventory.domain.stock import Level, MovementKind, Source, check_room
from rappit_inventory.models.documents import CountRow
from rappit_inventory.service.announcements import announce_stock
from rappit_inventory.service.lookup import find_skus, find_warehouse, hold_catalogue
from rappit_inventory.unit import InventoryUnit

OPEN = "open"
APPROVED = "approved"
CANCELLED = "cancelled"
MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Counter:
    """Who counts or approves."""

    subject: UUID
    label: str
    is_owner: bool


async def open_count(
    unit: InventoryUnit, warehouse_code: str, sku_codes: Iterable[str], *, note: str | None, who: Counter, now: datetime
) -> UUID:
    """Ask for some SKUs in a warehouse to be counted; returns the count's id.

    Raises:
        UnknownSkuError: One of the SKUs is not there.
        UnknownWarehouseError: No such warehouse.
    """
    warehouse = await find_warehouse(unit, warehouse_code)
    sku_ids = sorted(set((await find_skus(unit, sku_codes)).values()))
    await hold_catalogue(unit, [(sku_id, warehouse.id) for sku_id in sku_ids], now)
    row = CountRow(id=new_id(), warehouse_id=warehouse.id, status=OPEN, note=note, opened_by=who.label, opened_at=now)
    await unit.counts.add(row, sku_ids)
    return row.id


async def note_counted(
    unit: InventoryUnit, count_id: UUID, quantities: Mapping[str, int], *, who: Counter, now: datetime
) -> None:
    """Note what lies on the shelf; the last word on a SKU counts.

    The level is noted beside it, as it is at this moment: the difference between the two is what the count found, and
    stays true whatever is sold or delivered until it is approved.

    Raises:
        UnknownDocumentError: No such count.
        UnknownSkuError: One of the SKUs is not among those to be counted.
        DocumentClosedError: It was approved or cancelled.
    """
    sku_ids = await find_skus(unit, quantities)
    await unit.locks.read_catalogue()
    count = await _lock_open(unit, count_id)
    asked = {line.sku_id for line in await unit.counts.lines(count_id)}
    for code, sku_id in sku_ids.items():
        if sku_id not in asked:
            raise UnknownSkuError(f"SKU {code} is not among those of this count: open another for it.", sku=code)
    shelves = await unit.levels.lock(sku_ids.values())
    counted = {sku_ids[code]: quantity for code, quantity in quantities.items()}
    rows = [(sku_id, quantity, shelves.at(sku_id, count.warehouse_id).total) for sku_id, quantity in counted.items()]
    await unit.counts.write_counted(count_id, rows, counted_by=who.subject, label=who.label, now=now)


async def approve_count(unit: InventoryUnit, count_id: UUID, *, who: Counter, now: datetime) -> None:
    """Change each level by the difference that its count found. Approved again, nothing happens.

    Raises:
        UnknownDocumentError: No such count.
        DocumentClosedError: It was cancelled.
        NotCountedError: Some of it was not counted.
        ApprovalByAnotherError: Who counted is not the owner, and another must agree.
        InsufficientStockError: Less was found than is promised to orders or set aside; nothing was changed.
        QuantityTooLargeError: A level cannot count as many.
    """
    await unit.locks.read_catalogue()
    count = await unit.counts.get(count_id, lock=True)
    if count is not None and count.status == APPROVED:
        return
    count = _must_be_open(count, count_id)
    lines = await unit.counts.lines(count_id)
    missing = [line.sku for line in lines if line.counted is None]
    if missing:
        more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
        raise NotCountedError(f"Not counted yet: SKU {', '.join(missing[:MAX_NAMED])}{more}.", skus=missing[:MAX_NAMED])
    if not who.is_owner and any(line.counted_by == who.subject for line in lines):
        raise ApprovalByAnotherError("You counted this yourself: have somebody else, or the owner, approve it.")
    shelves = await unit.levels.lock(line.sku_id for line in lines)
    source = Source("count", count_id, who.label, current_trace_id(), count.note, "count")
    for line in lines:
        difference = line.difference or 0
        level = shelves.at(line.sku_id, count.warehouse_id)
        if level.available + difference < 0:
            raise _too_few(level, difference)
        check_room(level, difference)
        if difference:
            shelves.move(line.sku_id, count.warehouse_id, MovementKind.COUNT, source, total=difference)
    count.status, count.closed_by, count.closed_at = APPROVED, who.label, now
    await unit.levels.save(shelves, now)
    await announce_stock(unit, shelves, now=now)


async def cancel_count(unit: InventoryUnit, count_id: UUID, *, who: Counter, now: datetime) -> None:
    """Drop a count; no level changes. Cancelled again, nothing happens.

    Raises:
        UnknownDocumentError: No such count.
        DocumentClosedError: It was approved.
    """
    count = await unit.counts.get(count_id, lock=True)
    if count is not None and count.status == CANCELLED:
        return
    count = _must_be_open(count, count_id)
    count.status, count.closed_by, count.closed_at = CANCELLED, who.label, now


async def _lock_open(unit: InventoryUnit, count_id: UUID) -> CountRow:
    return _must_be_open(await unit.counts.get(count_id, lock=True), count_id)


def _must_be_open(count: CountRow | None, count_id: UUID) -> CountRow:
    if count is None:
        raise UnknownDocumentError(f"There is no count {count_id}.", count_id=str(count_id))
    if count.status != OPEN:
        raise DocumentClosedError(f"The count was {count.status}: open another.", status=count.status)
    return count


def _too_few(level: Level, difference: int) -> InsufficientStockError:
    kept = level.reserved + level.unavailable
    return InsufficientStockError(
        f"The count leaves {level.total + difference} of SKU {level.sku_code} in {level.warehouse_code}, but {kept} are"
        " reserved, damaged or quarantined there: release these first, then approve it again.",
        sku=level.sku_code,
        warehouse_code=level.warehouse_code,
        requested=-difference,
        available=level.available,
    )
