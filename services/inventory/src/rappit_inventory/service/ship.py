"""Commit stock when a parcel is labelled, and take it back when the label is voided."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_common.tracing import current_trace_id

from rappit_inventory.domain.demands import DemandStatus, settle
from rappit_inventory.domain.shipments import NotReservedError, give_back, take
from rappit_inventory.domain.stock import Source
from rappit_inventory.service.announcements import announce_answer, announce_stock
from rappit_inventory.service.reserve import lock_shelves, resolve_lines
from rappit_inventory.unit import InventoryUnit

ACTOR = "shipping"
LABELLED = "labelled"


@dataclass(frozen=True, slots=True)
class ShipmentVersion:
    """One version of a shipment: what its parcels hold, by SKU code."""

    shipment_id: UUID
    order_id: UUID
    version: int
    status: str
    warehouse_code: str | None
    lines: tuple[tuple[str, int], ...]


async def apply_shipment(unit: InventoryUnit, shipment: ShipmentVersion, *, now: datetime) -> None:
    """Bring stock in line with the newest version of a shipment; others change nothing.

    Labelled: on hand and reserved fall together, where the order's units lie (see ``take``). Voided: both rise again,
    where they fell; what the order no longer needs becomes free.

    Raises:
        NotReservedError: The parcels hold units that the order had not reserved, and that are not free either.
    """
    await unit.locks.read_catalogue()
    demand = (await unit.demands.lock([shipment.order_id], (), now))[shipment.order_id]
    known = await unit.shipments.get(shipment.shipment_id, shipment.order_id)
    if shipment.version <= known.version:
        return
    quantities = await _quantities(unit, shipment)
    await resolve_lines(unit, [demand])
    shelves = await lock_shelves(unit, [demand], quantities)
    source = Source("shipment", shipment.shipment_id, ACTOR, current_trace_id())
    give_back(known, demand, shelves, source)
    if shipment.status == LABELLED:
        take(known, quantities, demand, shelves, source, shipment.warehouse_code)
    known.version, known.status = shipment.version, shipment.status
    if demand.status is not DemandStatus.NEW:
        order = Source("order", demand.order_id, ACTOR, current_trace_id())
        if settle(demand, shelves, order, now=now):
            demand.reservation_version += 1
            announce_answer(unit, demand, shelves, now=now)
    await unit.levels.save(shelves, now)
    await unit.demands.save([demand], now)
    await unit.shipments.save(known, now)
    await announce_stock(unit, shelves, now=now)


async def _quantities(unit: InventoryUnit, shipment: ShipmentVersion) -> dict[UUID, int]:
    codes = {code.strip() for code, _ in shipment.lines}
    sku_ids = await unit.catalogue.resolve(codes)
    if shipment.status == LABELLED and (unknown := sorted(codes - sku_ids.keys())):
        raise NotReservedError(
            f"Shipment {shipment.shipment_id} holds SKU {unknown[0]}, which the catalogue does not know.",
            sku=unknown[0],
        )
    quantities: dict[UUID, int] = {}
    for code, quantity in shipment.lines:
        if (sku_id := sku_ids.get(code.strip())) is not None:
            quantities[sku_id] = quantities.get(sku_id, 0) + quantity
    return quantities
