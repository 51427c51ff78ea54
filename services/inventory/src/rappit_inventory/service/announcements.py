"""What the world is told of a decision about stock."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from rappit_inventory.domain.demands import Demand, DemandStatus
from rappit_inventory.domain.stock import Level, Shelves
from rappit_inventory.messages import (
    MAX_CHANGES,
    MAX_FILLED_SKUS,
    AllocatedLine,
    ChangedLevel,
    LowLevel,
    Reason,
    ReservationChanged,
    ShortLine,
    Status,
    StockArrived,
    StockChanged,
    StockLow,
    WaitingPosition,
)
from rappit_inventory.repository.demands import Waiting
from rappit_inventory.unit import InventoryUnit

_REASONS = {
    DemandStatus.BACKORDERED: Reason.INSUFFICIENT_STOCK,
    DemandStatus.ON_HOLD: Reason.UNKNOWN_SKU,
}

ItemT = TypeVar("ItemT")


def reason_of(demand: Demand) -> Reason | None:
    """Return why a demand waits, as a code."""
    return reason_for(demand.status, is_set_aside=demand.is_set_aside)


def reason_for(status: DemandStatus, *, is_set_aside: bool) -> Reason | None:
    """Return why a demand of a status waits, as a code. What a person wants has none: the message says it."""
    return None if is_set_aside else _REASONS.get(status)


def allocations_of(demand: Demand, shelves: Shelves) -> list[AllocatedLine]:
    """Return where an order's units lie or were shipped from, in the order's own spelling of SKUs."""
    spelled = {line.sku_id: line.sku_code for line in demand.lines}
    lines: list[AllocatedLine] = []
    for key, held in sorted(demand.held.items()):
        level = shelves.get(*key)
        if level is not None and held.reserved + held.committed:
            sku = spelled.get(key[0], level.sku_code)
            quantity = held.reserved + held.committed
            lines.append(AllocatedLine(sku=sku, warehouse_code=level.warehouse_code, quantity=quantity))
    return lines


def announce_answer(
    unit: InventoryUnit, demand: Demand, shelves: Shelves, *, now: datetime, traceparent: str | None = None
) -> None:
    """Answer an order with the whole state of its reservation."""
    unit.outbox.add(
        ReservationChanged(
            organization_id=unit.organization_id,
            order_id=demand.order_id,
            order_version=demand.order_version,
            reservation_version=demand.reservation_version,
            status=Status(demand.status.value),
            reason=reason_of(demand),
            message=demand.message(),
            allocations=allocations_of(demand, shelves),
            shortages=[
                ShortLine(sku=short.sku_code, requested=short.requested, available=short.available)
                for short in demand.shortages
            ],
            unknown_skus=demand.unknown_skus if demand.status is DemandStatus.ON_HOLD else [],
            occurred_at=now,
        ),
        traceparent=traceparent,
    )


async def announce_stock(unit: InventoryUnit, shelves: Shelves, *, now: datetime) -> None:
    """Tell of each level that changed, once; of those that came down to their reorder points; and of what became free.

    Where more is free than before, waiting orders may be filled.
    """
    announce_levels(unit, list(shelves.changed()), now=now)
    announce_low(unit, shelves.fallen(), now=now)
    announce_arrival(unit, await unit.demands.awaited(shelves.freed_skus()), now=now)


def announce_levels(unit: InventoryUnit, levels: Sequence[Level], *, now: datetime) -> None:
    """Tell of levels as they are now."""
    unit.forget_availability(level.sku_id for level in levels)
    for part in _parts(levels, MAX_CHANGES):
        changes = [_change(level) for level in part]
        unit.outbox.add(StockChanged(organization_id=unit.organization_id, changes=changes, occurred_at=now))


def announce_low(unit: InventoryUnit, levels: Sequence[Level], *, now: datetime) -> None:
    """Tell of levels that have come down to their reorder points."""
    for part in _parts(levels, MAX_CHANGES):
        low = [
            LowLevel(
                sku=level.sku_code,
                warehouse_code=level.warehouse_code,
                available=level.available,
                reorder_point=level.reorder_point or 0,
            )
            for level in part
        ]
        unit.outbox.add(StockLow(organization_id=unit.organization_id, levels=low, occurred_at=now))


def announce_arrival(
    unit: InventoryUnit, sku_ids: Sequence[UUID], *, now: datetime, after: Waiting | None = None
) -> None:
    """Have the line of orders that wait for some SKUs served, from a place on."""
    place = None if after is None else WaitingPosition(waiting_since=after.waiting_since, order_id=after.order_id)
    for part in _parts(sku_ids, MAX_FILLED_SKUS):
        event = StockArrived(
            organization_id=unit.organization_id,
            sku_ids=list(part),
            after=place,
            after_priority=None if after is None else after.priority,
            occurred_at=now,
        )
        unit.outbox.add(event)


def _change(level: Level) -> ChangedLevel:
    return ChangedLevel(
        sku=level.sku_code,
        warehouse_code=level.warehouse_code,
        on_hand=level.total,
        reserved=level.reserved,
        available=level.allocatable,
    )


def _parts(items: Sequence[ItemT], size: int) -> Iterable[Sequence[ItemT]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
