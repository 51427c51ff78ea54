"""Correct a level by hand."""

from dataclasses import dataclass
from datetime import datetime

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.errors import (
    InsufficientStockError,
    QuantityTooLargeError,
    UnknownSkuError,
    UnknownWarehouseError,
)
from rappit_inventory.domain.stock import MAX_QUANTITY, Level, MovementKind, Source
from rappit_inventory.service.announcements import announce_stock
from rappit_inventory.unit import InventoryUnit


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Units to add to, or (below zero) to remove from, what lies in a warehouse, and who says why."""

    sku: str
    warehouse_code: str
    delta: int
    reason: str
    actor: str


async def adjust_stock(unit: InventoryUnit, adjustment: Adjustment, *, now: datetime) -> Level:
    """Add or remove units of a SKU in a warehouse; returns the level as it is then.

    Raises:
        UnknownSkuError: No such SKU.
        UnknownWarehouseError: No such warehouse.
        InsufficientStockError: More would be removed than is available.
        QuantityTooLargeError: The level would pass 2,147,483,647.
    """
    sku = await unit.catalogue.sku(adjustment.sku)
    if sku is None:
        raise UnknownSkuError(f"Unknown SKU {adjustment.sku}: add it to the catalogue first.", sku=adjustment.sku)
    warehouse = await unit.catalogue.warehouse(adjustment.warehouse_code)
    if warehouse is None:
        code = adjustment.warehouse_code
        raise UnknownWarehouseError(f"Unknown warehouse {code}: add it first.", warehouse_code=code)
    if await unit.levels.exists(sku.id, warehouse.id):
        await unit.locks.read_catalogue()
    else:
        await unit.locks.extend_catalogue()
        await unit.levels.ensure(sku.id, warehouse.id, now)
    shelves = await unit.levels.lock([sku.id])
    level = shelves.get(sku.id, warehouse.id)
    assert level is not None  # noqa: S101 - ensured above, and never removed
    if level.available + adjustment.delta < 0:
        raise InsufficientStockError(
            f"Insufficient stock: SKU {sku.code} has {level.available} available in {warehouse.code},"
            f" cannot remove {-adjustment.delta}.",
            sku=sku.code,
            warehouse_code=warehouse.code,
            available=level.available,
            requested=-adjustment.delta,
        )
    if level.total + adjustment.delta > MAX_QUANTITY:
        raise QuantityTooLargeError(f"A level holds at most {MAX_QUANTITY} units: SKU {sku.code} in {warehouse.code}.")
    source = Source("adjustment", new_id(), adjustment.actor, current_trace_id(), adjustment.reason)
    shelves.move(sku.id, warehouse.id, MovementKind.ADJUST, source, total=adjustment.delta)
    await unit.levels.save(shelves, now)
    await announce_stock(unit, shelves, now=now)
    return level
