"""Reserve, change and release stock for orders: one path, for one order or for many at a time.

The number of round trips to the database does not grow with the number of orders (docs/performance.md), and the locks
are taken in the order that ``repository/locks.py`` fixes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.allocation import Destination
from rappit_inventory.domain.demands import Demand, DemandLine, settle
from rappit_inventory.domain.holds import Hold, hand_over
from rappit_inventory.domain.stock import Shelves, Source
from rappit_inventory.repository.demands import Waiting
from rappit_inventory.service.announcements import announce_answer, announce_arrival, announce_stock
from rappit_inventory.unit import InventoryUnit

MAX_WAITING_ORDERS = 200
ACTOR = "orders"
_NO_ACTS: Mapping[UUID, Source] = {}


@dataclass(frozen=True, slots=True)
class OrderVersion:
    """One version of an order's demand: units by SKU code, none when it was cancelled."""

    order_id: UUID
    version: int
    demand: tuple[tuple[str, int], ...]
    traceparent: str | None = None
    destination: Destination | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace id within ``traceparent``."""
        parts = (self.traceparent or "").split("-")
        return parts[1] if len(parts) > 1 else None


async def reserve_orders(unit: InventoryUnit, orders: Sequence[OrderVersion], *, now: datetime) -> list[Demand]:
    """Apply the newest versions of some orders' demands, first come first served, and answer each.

    An order that waits longer and can now be filled from the same SKUs is served before; one that was put behind is
    served after. Versions that are not newer than what was applied change nothing and are not answered.

    Args:
        unit: The transaction.
        orders: As they came; of several versions of one order the newest counts.
        now: When.

    Returns:
        The demands that were answered, those of orders that waited among them.
    """
    newest: dict[UUID, OrderVersion] = {}
    for order in orders:
        known = newest.get(order.order_id)
        if known is None or order.version > known.version:
            newest[order.order_id] = order
    await unit.locks.read_catalogue()
    sku_ids = await unit.catalogue.resolve(code.strip() for order in newest.values() for code, _ in order.demand)
    waiting, demands = await lock_line(unit, sku_ids.values(), newest, now=now)
    accepted = [
        demands[order.order_id]
        for order in newest.values()
        if demands[order.order_id].accept(
            order.version,
            (DemandLine(code.strip(), quantity, sku_ids.get(code.strip())) for code, quantity in order.demand),
            order.destination,
        )
    ]
    if not accepted and not waiting:
        return []
    line_up = sorted([*waiting, *accepted], key=lambda demand: demand.priority)
    promised = await unit.holds.lock_promised(demand.order_id for demand in accepted if demand.is_expected)
    return await settle_all(unit, line_up, newest, now=now, given=promised)


async def fill_waiting(unit: InventoryUnit, sku_ids: Sequence[UUID], after: Waiting | None, *, now: datetime) -> None:
    """Serve the next step of the line of orders that wait for some SKUs, longest waiting first.

    Args:
        unit: The transaction.
        sku_ids: SKUs that arrived, or that the catalogue has just come to know.
        after: The place in the line where the last step ended.
        now: When.
    """
    await unit.locks.read_catalogue()
    line = [
        *await unit.demands.fillable(sku_ids, limit=MAX_WAITING_ORDERS, after=after),
        *await unit.demands.newly_known(sku_ids, limit=MAX_WAITING_ORDERS, after=after),
    ]
    places = {waiting.order_id: waiting for waiting in line}
    step = sorted(places.values(), key=lambda waiting: waiting.place)[:MAX_WAITING_ORDERS]
    if not step:
        return
    demands = await unit.demands.lock((), (waiting.order_id for waiting in step), now)
    still = [demands[waiting.order_id] for waiting in step if demands[waiting.order_id].is_waiting]
    await settle_all(unit, still, {}, now=now)
    if len(step) == MAX_WAITING_ORDERS:
        announce_arrival(unit, sku_ids, now=now, after=step[-1])


async def lock_line(
    unit: InventoryUnit, sku_ids: Iterable[UUID], new: Collection[UUID], *, now: datetime
) -> tuple[list[Demand], dict[UUID, Demand]]:
    """Lock the demands of ``new`` orders, and those that wait ahead of them for some SKUs and can now be filled.

    Returns:
        Those that wait ahead, longest first, and all that are locked by order id.
    """
    line = await unit.demands.fillable(sku_ids, limit=MAX_WAITING_ORDERS)
    ahead = [waiting.order_id for waiting in line if waiting.order_id not in new]
    demands = await unit.demands.lock(new, ahead, now)
    return [demands[order_id] for order_id in ahead if demands[order_id].is_waiting], demands


async def resolve_lines(unit: InventoryUnit, demands: Iterable[Demand]) -> None:
    """Look up again what the catalogue did not know when a demand was last settled."""
    lines = [line for demand in demands for line in demand.lines if line.sku_id is None]
    sku_ids = await unit.catalogue.resolve(line.sku_code for line in lines)
    for line in lines:
        line.sku_id = sku_ids.get(line.sku_code)


async def lock_shelves(unit: InventoryUnit, demands: Iterable[Demand], others: Iterable[UUID] = ()) -> Shelves:
    """Lock the levels of every SKU that some demands name or hold, and of ``others``."""
    sku_ids = set(others)
    for demand in demands:
        sku_ids.update(line.sku_id for line in demand.lines if line.sku_id is not None)
        sku_ids.update(key[0] for key in demand.held)
    return await unit.levels.lock(sku_ids)


async def settle_all(
    unit: InventoryUnit,
    demands: Sequence[Demand],
    versions: Mapping[UUID, OrderVersion],
    *,
    now: datetime,
    given: Sequence[Hold] = (),
    acts: Mapping[UUID, Source] | None = None,
) -> list[Demand]:
    """Settle locked demands in this order, write what came of it and answer them.

    Args:
        unit: The transaction.
        demands: Of which some may be given a hold's units.
        versions: The versions that are answered in any case, by order id.
        now: When.
        given: Locked holds whose units become those of the orders that they name.
        acts: What the ledger says of orders that a person did something with, which are answered in any case.

    Returns:
        The demands that were answered.
    """
    await resolve_lines(unit, (demand for demand in demands if demand.order_id not in versions))
    shelves = await lock_shelves(unit, demands, (key[0] for hold in given for key in hold.units))
    answered = settle_each(demands, versions, shelves, given, acts or {}, now=now)
    await save_settled(unit, answered, versions, shelves, now=now)
    await unit.holds.save(given)
    return answered


def settle_each(
    demands: Sequence[Demand],
    versions: Mapping[UUID, OrderVersion],
    shelves: Shelves,
    given: Sequence[Hold] = (),
    acts: Mapping[UUID, Source] = _NO_ACTS,
    *,
    now: datetime,
) -> list[Demand]:
    """Settle demands in this order, each after it was given its holds; returns those that are to be answered."""
    answered: list[Demand] = []
    for position, demand in enumerate(demands):
        version = versions.get(demand.order_id)
        ordinary = Source("order", demand.order_id, ACTOR, version.trace_id if version else None)
        source = acts.get(demand.order_id, ordinary)
        mine = [hold for hold in given if hold.order_id == demand.order_id]
        for hold in mine:
            hand_over(hold, demand, shelves, hold.source(ACTOR, current_trace_id()), source, now=now)
        # A microsecond apart, so that those who came together keep their order in the line.
        changed = settle(demand, shelves, source, now=now + timedelta(microseconds=position))
        if changed or mine or version is not None or demand.order_id in acts:
            demand.reservation_version += 1
            answered.append(demand)
    return answered


async def save_settled(
    unit: InventoryUnit,
    answered: Sequence[Demand],
    versions: Mapping[UUID, OrderVersion],
    shelves: Shelves,
    *,
    now: datetime,
) -> None:
    """Write what moved and what was settled, answer the orders, and tell of the stock."""
    await unit.levels.save(shelves, now)
    await unit.demands.save(answered, now)
    for demand in answered:
        version = versions.get(demand.order_id)
        announce_answer(unit, demand, shelves, now=now, traceparent=version.traceparent if version else None)
    await announce_stock(unit, shelves, now=now)
