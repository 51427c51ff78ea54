"""How a shipment takes stock off the shelves, and gives it back when it is voided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from rappit_common.errors import ConflictError

from rappit_inventory.domain.demands import Demand, Held
from rappit_inventory.domain.stock import Level, MovementKind, Shelves, Source


class NotReservedError(ConflictError):
    """A shipment holds units that were not reserved for its order, and that are not free either."""

    code = "not_reserved"


@dataclass(slots=True)
class Shipment:
    """The newest version of a shipment that was applied, and the units it took by (SKU, warehouse)."""

    shipment_id: UUID
    order_id: UUID
    version: int = 0
    status: str = "new"
    taken: dict[tuple[UUID, UUID], int] = field(default_factory=dict[tuple[UUID, UUID], int])


def give_back(shipment: Shipment, demand: Demand, shelves: Shelves, source: Source) -> None:
    """Undo what a shipment took: on hand and reserved rise again, where they fell.

    Units that were sent back before have risen once already, and do not rise twice.
    """
    for key in sorted(shipment.taken):
        quantity, held = shipment.taken[key], demand.held[key]
        away = min(quantity, held.committed - held.returned)
        if away:
            shelves.move(*key, MovementKind.RETURN, source, total=away, reserved=away)
        held.reserved += away
        held.committed -= quantity
        held.returned -= quantity - away
    shipment.taken = {}


def take(
    shipment: Shipment,
    quantities: Mapping[UUID, int],
    demand: Demand,
    shelves: Shelves,
    source: Source,
    preferred: str | None,
) -> None:
    """Ship a parcel: on hand falls, and with it what was reserved for its order.

    An order that was changed while its label was bought holds less than is in the parcel. The goods leave all the same,
    so the rest is taken from units that nobody was promised.

    Args:
        shipment: Which; notes what it took.
        quantities: Units by SKU.
        demand: Of the shipment's order.
        shelves: The locked levels of those SKUs.
        source: What the ledger says.
        preferred: Code of the warehouse it left from, which gives first.

    Raises:
        NotReservedError: The order does not hold that many, and not enough are free; nothing was taken.
    """
    for sku_id in sorted(quantities):
        _check_enough(shipment, sku_id, quantities[sku_id], demand, shelves)
    wanted_first = (preferred or "").lower()
    for sku_id in sorted(quantities):
        levels = sorted(shelves.of_sku(sku_id), key=lambda level: level.warehouse_code.lower() != wanted_first)
        missing = quantities[sku_id]
        for level in levels:
            held = demand.held.get((sku_id, level.warehouse_id), Held())
            missing -= _take(shipment, level, demand, shelves, source, reserved=min(missing, held.reserved))
        for level in levels:
            missing -= _take(shipment, level, demand, shelves, source, free=min(missing, level.available))


def _check_enough(shipment: Shipment, sku_id: UUID, quantity: int, demand: Demand, shelves: Shelves) -> None:
    held = demand.reserved(sku_id)
    # Of an order that nobody told of, nothing is known to be true: not even that it may have what is free.
    # What has left the building left it, whether or not its SKU and warehouse are still active.
    free = sum(level.available for level in shelves.of_sku(sku_id)) if demand.order_version else 0
    if held + free < quantity:
        code = next((level.sku_code for level in shelves.of_sku(sku_id)), demand.code_of(sku_id))
        verb = "is" if free == 1 else "are"
        raise NotReservedError(
            f"Shipment {shipment.shipment_id} holds {quantity} of SKU {code}, but its order has {held} reserved and "
            f"only {free} more {verb} free: count the shelf and adjust its level, then requeue.",
            sku=code,
            shipped=quantity,
            reserved=held,
            free=free,
        )


def _take(
    shipment: Shipment,
    level: Level,
    demand: Demand,
    shelves: Shelves,
    source: Source,
    *,
    reserved: int = 0,
    free: int = 0,
) -> int:
    taken = reserved + free
    if taken:
        key = (level.sku_id, level.warehouse_id)
        shelves.move(*key, MovementKind.COMMIT, source, total=-taken, reserved=-reserved)
        held = demand.held.setdefault(key, Held())
        held.reserved -= reserved
        held.committed += taken
        shipment.taken[key] = shipment.taken.get(key, 0) + taken
    return taken
