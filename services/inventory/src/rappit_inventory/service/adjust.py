"""Correct a level by hand: how much lies there, in which state, and when it should be bought anew."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.stock import Level, MovementKind, Source, StockState, check_room, check_state
from rappit_inventory.service.announcements import announce_levels, announce_low, announce_stock
from rappit_inventory.service.lookup import find_sku, find_warehouse, lock_levels
from rappit_inventory.unit import InventoryUnit


class AdjustmentReason(StrEnum):
    """Why a person changed a level."""

    CORRECTION = "correction"
    DAMAGE = "damage"
    THEFT = "theft"
    LOSS = "loss"
    FOUND = "found"
    EXPIRED = "expired"
    RETURN = "return"
    DELIVERY = "delivery"
    SAMPLE = "sample"
    INSPECTION = "inspection"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Units to add to, or (below zero) to remove from, what lies in a warehouse, and who says why."""

    sku: str
    warehouse_code: str
    delta: int
    reason: str
    actor: str
    reason_code: AdjustmentReason = AdjustmentReason.CORRECTION


@dataclass(frozen=True, slots=True)
class StateMove:
    """Units in a warehouse that can, or can no longer, be sold, and who says why."""

    sku: str
    warehouse_code: str
    quantity: int
    came_from: StockState
    goes_to: StockState
    reason: str
    actor: str
    reason_code: AdjustmentReason = AdjustmentReason.CORRECTION


async def adjust_stock(unit: InventoryUnit, adjustment: Adjustment, *, now: datetime) -> Level:
    """Add or remove units of a SKU in a warehouse; returns the level as it is then.

    Raises:
        UnknownSkuError: No such SKU.
        UnknownWarehouseError: No such warehouse.
        InsufficientStockError: More would be removed than is available.
        QuantityTooLargeError: The level would pass 2,147,483,647.
    """
    sku = await find_sku(unit, adjustment.sku)
    warehouse = await find_warehouse(unit, adjustment.warehouse_code)
    shelves = await lock_levels(unit, [(sku.id, warehouse.id)], now)
    level = shelves.at(sku.id, warehouse.id)
    check_state(level, StockState.SELLABLE, -adjustment.delta)
    check_room(level, adjustment.delta)
    source = Source(
        "adjustment", new_id(), adjustment.actor, current_trace_id(), adjustment.reason, adjustment.reason_code.value
    )
    shelves.move(sku.id, warehouse.id, MovementKind.ADJUST, source, total=adjustment.delta)
    await unit.levels.save(shelves, now)
    await announce_stock(unit, shelves, now=now)
    return level


async def move_state(unit: InventoryUnit, move: StateMove, *, now: datetime) -> Level:
    """Move units of a level between sellable, damaged and quarantined; returns the level as it is then.

    Raises:
        UnknownSkuError: No such SKU.
        UnknownWarehouseError: No such warehouse.
        InsufficientStockError: Fewer are in the state that they come from; reserved units are nobody's to move.
    """
    sku = await find_sku(unit, move.sku)
    warehouse = await find_warehouse(unit, move.warehouse_code)
    shelves = await lock_levels(unit, [(sku.id, warehouse.id)], now)
    level = shelves.at(sku.id, warehouse.id)
    check_state(level, move.came_from, move.quantity)
    changes = {StockState.DAMAGED: 0, StockState.QUARANTINED: 0, StockState.SELLABLE: 0}
    changes[move.came_from] -= move.quantity
    changes[move.goes_to] += move.quantity
    source = Source("state_move", new_id(), move.actor, current_trace_id(), move.reason, move.reason_code.value)
    shelves.move(
        sku.id,
        warehouse.id,
        MovementKind.STATE,
        source,
        damaged=changes[StockState.DAMAGED],
        quarantined=changes[StockState.QUARANTINED],
    )
    await unit.levels.save(shelves, now)
    await announce_stock(unit, shelves, now=now)
    return level


async def set_thresholds(
    unit: InventoryUnit, sku_code: str, warehouse_code: str, thresholds: dict[str, int | None], *, now: datetime
) -> Level:
    """Set a level's reorder point or safety stock; returns the level.

    A level that lies at or below a new reorder point, and was not low before, is told of as low.

    Args:
        unit: The transaction.
        sku_code: Of which SKU.
        warehouse_code: In which warehouse.
        thresholds: ``reorder_point`` (None for none) and ``safety_stock``, or one of them.
        now: When.

    Raises:
        UnknownSkuError: No such SKU.
        UnknownWarehouseError: No such warehouse.
    """
    sku = await find_sku(unit, sku_code)
    warehouse = await find_warehouse(unit, warehouse_code)
    shelves = await lock_levels(unit, [(sku.id, warehouse.id)], now)
    level = shelves.at(sku.id, warehouse.id)
    was_low = level.is_low
    await unit.level_list.set(sku.id, warehouse.id, thresholds)
    if "reorder_point" in thresholds:
        level.reorder_point = thresholds["reorder_point"]
    if level.is_low and not was_low:
        announce_low(unit, [level], now=now)
    if "safety_stock" in thresholds:
        # What channels may be told has changed, though nothing moved.
        announce_levels(unit, [level], now=now)
    return level
