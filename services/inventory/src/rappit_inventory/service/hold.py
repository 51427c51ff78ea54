"""Keep stock for carts, or by hand, and give it back or to an order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.errors import DocumentClosedError, UnknownDocumentError
from rappit_inventory.domain.holds import (
    Hold,
    HoldKind,
    HoldState,
    extend,
    find_units,
    give_up,
    hold_units,
    promise,
)
from rappit_inventory.service.announcements import announce_stock
from rappit_inventory.service.lookup import find_skus, find_warehouse
from rappit_inventory.service.reserve import lock_line, lock_shelves, save_settled, settle_all, settle_each
from rappit_inventory.service.settings import policy_of
from rappit_inventory.unit import InventoryUnit

EXPIRY_ACTOR = "hold-expiry"


@dataclass(frozen=True, slots=True)
class HoldStock:
    """Units to keep, by SKU code; without a warehouse, from where an order's would come."""

    kind: HoldKind
    quantities: Mapping[str, int]
    actor: str
    warehouse_code: str | None = None
    lasts: timedelta | None = None
    reason: str | None = None


async def hold_stock(unit: InventoryUnit, asked: HoldStock, *, now: datetime) -> Hold:
    """Keep all that is asked for, or nothing. Orders that wait for the same SKUs and can be filled are served before.

    Raises:
        UnknownSkuError: One of the SKUs is not there.
        UnknownWarehouseError: No such warehouse.
        InactiveWarehouseError: Nothing is promised from it.
        InsufficientStockError: Too little is free; says what is.
    """
    place = None
    if asked.warehouse_code is not None:
        place = (await find_warehouse(unit, asked.warehouse_code, only_active=True)).id
    await unit.locks.read_catalogue()
    sku_ids = await find_skus(unit, asked.quantities)
    needs, codes = dict[UUID, int](), dict[UUID, str]()
    for code, quantity in asked.quantities.items():
        needs[sku_ids[code]] = needs.get(sku_ids[code], 0) + quantity
        codes.setdefault(sku_ids[code], code)
    strategy = policy_of(await unit.settings.get()).allocation_strategy
    waiting, _ = await lock_line(unit, needs, (), now=now)
    shelves = await lock_shelves(unit, waiting, needs)
    served = settle_each(waiting, {}, shelves, now=now)
    hold = Hold(
        id=new_id(),
        kind=asked.kind,
        units=find_units(needs, codes, shelves, warehouse_id=place, strategy=strategy),
        actor=asked.actor,
        created_at=now,
        reason=asked.reason,
        expires_at=None if asked.lasts is None else now + asked.lasts,
    )
    hold_units(hold, shelves, hold.source(asked.actor, current_trace_id()))
    await unit.holds.add(hold)
    await save_settled(unit, served, {}, shelves, now=now)
    return hold


async def extend_hold(unit: InventoryUnit, hold_id: UUID, lasts: timedelta | None, *, now: datetime) -> Hold:
    """Give a hold so much time from now, or all of it with None; never less than it has.

    Raises:
        UnknownDocumentError: No such hold.
        DocumentClosedError: It has ended.
    """
    hold = await _lock(unit, hold_id)
    extend(hold, None if lasts is None else now + lasts)
    await unit.holds.save([hold])
    return hold


async def release_hold(unit: InventoryUnit, hold_id: UUID, *, actor: str, now: datetime) -> Hold:
    """Make a hold's units free; once it was released or has expired nothing happens.

    Raises:
        UnknownDocumentError: No such hold.
        DocumentClosedError: An order has its units.
    """
    await unit.locks.read_catalogue()
    hold = await _lock(unit, hold_id)
    if hold.state in {HoldState.RELEASED, HoldState.EXPIRED}:
        return hold
    hold.check_live()
    await _give_up(unit, [hold], HoldState.RELEASED, actor, now=now)
    return hold


async def convert_hold(unit: InventoryUnit, hold_id: UUID, order_id: UUID, *, now: datetime) -> Hold:
    """Give a hold's units to an order, or promise them to one that is not known yet; a second time nothing happens.

    What the order does not need of them becomes free. Orders that wait for the same SKUs get none of the units, but
    what else they can have they have before.

    Raises:
        UnknownDocumentError: No such hold.
        DocumentClosedError: It has ended, or is another order's.
    """
    await unit.locks.read_catalogue()
    seen, known = await unit.holds.get(hold_id), await unit.demands.get(order_id)
    sku_ids = {key[0] for key in seen.units} if seen is not None else set[UUID]()
    sku_ids.update(line.sku_id for line in (known.lines if known else ()) if line.sku_id is not None)
    waiting, demands = await lock_line(unit, sku_ids, [order_id], now=now)
    hold = await _lock(unit, hold_id)
    if hold.order_id == order_id and hold.state in {HoldState.PROMISED, HoldState.CONVERTED}:
        return hold
    hold.check_live()
    if hold.order_id is not None:
        message = f"Hold {hold.id} is promised to order {hold.order_id} already: release it and make another."
        raise DocumentClosedError(message, hold_id=str(hold.id), order_id=str(hold.order_id))
    demand = demands[order_id]
    promise(hold, order_id, now=now)
    if demand.order_version:
        line_up = sorted([*waiting, demand], key=lambda one: one.priority)
        await settle_all(unit, line_up, {}, now=now, given=[hold])
    else:
        await unit.holds.save([hold])
    return hold


async def expire_holds(unit: InventoryUnit, *, limit: int, now: datetime) -> int:
    """Make the units of holds whose time is over free, at most ``limit`` holds; returns how many it were."""
    await unit.locks.read_catalogue()
    due = await unit.holds.lock_due(now, limit=limit)
    if due:
        await _give_up(unit, due, HoldState.EXPIRED, EXPIRY_ACTOR, now=now)
    return len(due)


async def _lock(unit: InventoryUnit, hold_id: UUID) -> Hold:
    hold = await unit.holds.lock(hold_id)
    if hold is None:
        raise unknown_hold(hold_id)
    return hold


def unknown_hold(hold_id: UUID) -> UnknownDocumentError:
    """Return the refusal of a hold that is not there."""
    return UnknownDocumentError(f"There is no hold {hold_id}.", hold_id=str(hold_id))


async def _give_up(unit: InventoryUnit, holds: list[Hold], ending: HoldState, actor: str, *, now: datetime) -> None:
    shelves = await unit.levels.lock(key[0] for hold in holds for key in hold.units)
    for hold in holds:
        give_up(hold, ending, shelves, hold.source(actor, current_trace_id()), now=now)
    await unit.levels.save(shelves, now)
    await unit.holds.save(holds)
    await announce_stock(unit, shelves, now=now)
