"""What merchants do by hand with the reservations of their orders; each act is noted, with who did it and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.demands import Demand, ForceRelease, move_held
from rappit_inventory.domain.errors import ReservationCompleteError, UnknownReservationError
from rappit_inventory.domain.stock import Source
from rappit_inventory.service.announcements import announce_answer, announce_stock
from rappit_inventory.service.lookup import find_sku, find_warehouse, hold_catalogue
from rappit_inventory.service.reserve import MAX_WAITING_ORDERS, lock_shelves, settle_all
from rappit_inventory.unit import InventoryUnit


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, and why."""

    actor: str
    reason: str | None

    def source(self, order_id: UUID) -> Source:
        """Return what the ledger says of it."""
        return Source("order", order_id, self.actor, current_trace_id(), self.reason)


@dataclass(frozen=True, slots=True)
class Move:
    """Units of a SKU that are to lie reserved in another warehouse."""

    sku: str
    came_from: str
    goes_to: str
    quantity: int


async def set_priority(unit: InventoryUnit, order_id: UUID, priority: int, act: Act, *, now: datetime) -> None:
    """Put an order ahead of others in the line of those who wait, or behind; of those alike who waits longer is first.

    It takes nothing from an order that holds its units. The order keeps it, should it wait again.

    Raises:
        UnknownReservationError: Nothing is known of the order.
    """
    await unit.locks.read_catalogue()
    demand = await _lock(unit, order_id, now)
    if demand.priority == priority:
        return
    before, demand.priority = demand.priority, priority
    await unit.demands.save([demand], now)
    await _note(unit, order_id, "prioritised", {"before": before, "after": priority}, act, now)


async def release_reservation(unit: InventoryUnit, order_id: UUID, act: Act, *, now: datetime) -> None:
    """Take an order's units away; it waits, and in no line, until it is resumed or asks for something else.

    A second time nothing happens. What has been shipped stays shipped.

    Raises:
        UnknownReservationError: Nothing is known of the order.
        ReservationCompleteError: It needs nothing more.
    """
    await unit.locks.read_catalogue()
    demand = await _lock(unit, order_id, now)
    if demand.force_release is not None:
        return
    if demand.is_complete:
        message = f"Order {order_id} needs no stock any more: all of it was shipped, or it was cancelled."
        raise ReservationCompleteError(message, order_id=str(order_id))
    demand.force_release = ForceRelease(act.actor, act.reason or "")
    taken = [
        {"sku": units.sku, "warehouse_code": units.warehouse_code, "quantity": units.quantity}
        for units in await unit.reservations.held([order_id])
    ]
    await settle_all(unit, [demand], {}, now=now, acts={order_id: act.source(order_id)})
    await _note(unit, order_id, "released", {"lines": taken}, act, now)


async def resume_reservation(unit: InventoryUnit, order_id: UUID, act: Act, *, now: datetime) -> None:
    """Let an order that a person released hold units again; it is served at once where it has kept its place in line.

    An order that was not released stays as it is.

    Raises:
        UnknownReservationError: Nothing is known of the order.
    """
    await unit.locks.read_catalogue()
    known = await unit.demands.get(order_id)
    sku_ids = [] if known is None else [line.sku_id for line in known.lines if line.sku_id is not None]
    line = await unit.demands.fillable(sku_ids, limit=MAX_WAITING_ORDERS)
    demands = await unit.demands.lock((), [order_id, *(waiting.order_id for waiting in line)], now)
    demand = _known(demands.get(order_id), order_id)
    if demand.force_release is None:
        return
    demand.force_release = None
    still = [x for x in demands.values() if x.is_waiting or x is demand]
    still.sort(key=lambda x: (x.priority, x.waiting_since or now, x.order_id))
    await settle_all(unit, still, {}, now=now, acts={order_id: act.source(order_id)})
    await _note(unit, order_id, "resumed", {}, act, now)


async def move_reservation(unit: InventoryUnit, order_id: UUID, move: Move, act: Act, *, now: datetime) -> None:
    """Have units of an order lie reserved in another warehouse; the order holds as many as it did.

    Raises:
        UnknownReservationError: Nothing is known of the order.
        UnknownSkuError: No such SKU.
        UnknownWarehouseError: No such warehouse.
        InactiveWarehouseError: Nothing new is promised from the other warehouse.
        NotHeldError: The order does not hold as many where they would be moved from.
        InsufficientStockError: Fewer are free where they would be moved to.
    """
    sku = await find_sku(unit, move.sku)
    source = await find_warehouse(unit, move.came_from)
    target = await find_warehouse(unit, move.goes_to, only_active=True)
    await hold_catalogue(unit, [(sku.id, source.id), (sku.id, target.id)], now)
    demand = await _lock(unit, order_id, now)
    shelves = await lock_shelves(unit, [demand], [sku.id])
    move_held(demand, sku.id, source.id, target.id, move.quantity, shelves, act.source(order_id))
    demand.reservation_version += 1
    await unit.levels.save(shelves, now)
    await unit.demands.save([demand], now)
    announce_answer(unit, demand, shelves, now=now)
    await announce_stock(unit, shelves, now=now)
    detail = {"sku": sku.code, "from": source.code, "to": target.code, "quantity": move.quantity}
    await _note(unit, order_id, "moved", detail, act, now)


async def _lock(unit: InventoryUnit, order_id: UUID, now: datetime) -> Demand:
    return _known((await unit.demands.lock((), [order_id], now)).get(order_id), order_id)


def _known(demand: Demand | None, order_id: UUID) -> Demand:
    # Without a version it was only promised a hold.
    if demand is None or not demand.order_version:
        raise UnknownReservationError(f"Nothing is known of order {order_id} here yet.", order_id=str(order_id))
    return demand


async def _note(
    unit: InventoryUnit, order_id: UUID, action: str, detail: Mapping[str, Any], act: Act, now: datetime
) -> None:
    await unit.reservations.note(
        order_id, action, detail, actor=act.actor, reason=act.reason, trace_id=current_trace_id(), now=now
    )
