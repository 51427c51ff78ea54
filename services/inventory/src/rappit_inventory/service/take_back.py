"""Take back goods that were shipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.demands import Demand
from rappit_inventory.domain.errors import NotShippedError, UnknownReservationError
from rappit_inventory.domain.stock import MovementKind, Shelves, Source, StockState, check_room
from rappit_inventory.models.documents import ReturnRow
from rappit_inventory.service.announcements import announce_stock
from rappit_inventory.service.lookup import find_skus, find_warehouse, hold_catalogue
from rappit_inventory.unit import InventoryUnit


@dataclass(frozen=True, slots=True)
class ReturnedLine:
    """Units of one SKU that came back, and what can be done with them.

    Without a warehouse they lie where they were shipped from.
    """

    sku: str
    quantity: int
    condition: StockState
    warehouse_code: str | None = None


async def take_back(
    unit: InventoryUnit,
    order_id: UUID,
    lines: Sequence[ReturnedLine],
    *,
    reason: str | None,
    actor: str,
    now: datetime,
) -> ReturnRow:
    """Put returned units of an order on the shelves: sellable ones for others to buy, the rest set aside.

    The order does not want them again: what it was shipped it has been shipped.

    Raises:
        UnknownReservationError: Nothing is known of the order.
        UnknownSkuError: One of the SKUs is not there.
        UnknownWarehouseError: One of the warehouses is not there.
        NotShippedError: More would come back than was shipped and has not come back yet.
        QuantityTooLargeError: A level cannot count as many.
    """
    sku_ids = await find_skus(unit, {line.sku for line in lines})
    named = {line.warehouse_code for line in lines if line.warehouse_code is not None}
    warehouses = {code: (await find_warehouse(unit, code)).id for code in sorted(named)}
    keys = {(sku_ids[line.sku], warehouses[line.warehouse_code]) for line in lines if line.warehouse_code is not None}
    await hold_catalogue(unit, sorted(keys), now)
    demand = (await unit.demands.lock((), [order_id], now)).get(order_id)
    if demand is None:
        raise UnknownReservationError(f"Nothing is known of order {order_id} here yet.", order_id=str(order_id))
    shelves = await unit.levels.lock(sku_ids.values())
    source = Source("return", new_id(), actor, current_trace_id(), reason, "return")
    for line in lines:
        place = warehouses[line.warehouse_code] if line.warehouse_code is not None else None
        _put_back(line, sku_ids[line.sku], place, demand, shelves, source)
    await unit.levels.save(shelves, now)
    await unit.demands.save([demand], now)
    row = ReturnRow(
        id=source.id,
        order_id=order_id,
        lines=[
            {"sku": x.sku, "quantity": x.quantity, "condition": x.condition.value, "warehouse_code": x.warehouse_code}
            for x in lines
        ],
        reason=reason,
        actor=actor,
        created_at=now,
    )
    await unit.returns.add(row)
    await announce_stock(unit, shelves, now=now)
    return row


def _put_back(
    line: ReturnedLine, sku_id: UUID, place: UUID | None, demand: Demand, shelves: Shelves, source: Source
) -> None:
    shipped = [(key[1], held) for key, held in sorted(demand.held.items()) if key[0] == sku_id]
    out = sum(held.committed - held.returned for _, held in shipped)
    if out < line.quantity:
        raise NotShippedError(
            f"Order {demand.order_id} has {out} of SKU {line.sku} shipped and not returned; {line.quantity} cannot come"
            " back.",
            sku=line.sku,
            requested=line.quantity,
            shipped=out,
        )
    missing = line.quantity
    for warehouse_id, held in shipped:
        back = min(missing, held.committed - held.returned)
        if back:
            target = place or warehouse_id
            check_room(shelves.at(sku_id, target), back)
            damaged = back if line.condition is StockState.DAMAGED else 0
            quarantined = back if line.condition is StockState.QUARANTINED else 0
            shelves.move(
                sku_id, target, MovementKind.RETURN, source, total=back, damaged=damaged, quarantined=quarantined
            )
            held.returned += back
            missing -= back
