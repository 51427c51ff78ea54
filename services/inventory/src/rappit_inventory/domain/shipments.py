"""How a shipment takes stock off the shelves, and gives it back when it is voided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from rappit_common.errors import ConflictError

from rappit_inventory.domain.demands import Demand
from rappit_inventory.domain.stock import MovementKind, Shelves, Source


class NotReservedError(ConflictError):
    """A shipment holds units that were not reserved for its order."""

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
    """Undo what a shipment took: on hand and reserved rise again, where they fell."""
    for key in sorted(shipment.taken):
        quantity = shipment.taken[key]
        shelves.move(*key, MovementKind.RETURN, source, total=quantity, reserved=quantity)
        demand.held[key].reserved += quantity
        demand.held[key].committed -= quantity
    shipment.taken = {}


def take(
    shipment: Shipment,
    quantities: Mapping[UUID, int],
    demand: Demand,
    shelves: Shelves,
    source: Source,
    preferred: str | None,
) -> None:
    """Ship units that an order holds: on hand and reserved fall together.

    Args:
        shipment: Which; notes what it took.
        quantities: Units by SKU.
        demand: Of the shipment's order.
        shelves: The locked levels of those SKUs.
        source: What the ledger says.
        preferred: Code of the warehouse it left from, which gives first.

    Raises:
        NotReservedError: The order does not hold that many.
    """
    for sku_id in sorted(quantities):
        missing = quantities[sku_id]
        held = demand.reserved(sku_id)
        if held < missing:
            code = demand.code_of(sku_id)
            raise NotReservedError(
                f"Shipment {shipment.shipment_id} holds {missing} of SKU {code}, but its order has {held} reserved.",
                sku=code,
                shipped=missing,
                reserved=held,
            )
        wanted_first = (preferred or "").lower()
        for level in sorted(shelves.of_sku(sku_id), key=lambda x: x.warehouse_code.lower() != wanted_first):
            key = (sku_id, level.warehouse_id)
            taken = min(missing, demand.held[key].reserved) if key in demand.held else 0
            if taken:
                shelves.move(*key, MovementKind.COMMIT, source, total=-taken, reserved=-taken)
                demand.held[key].reserved -= taken
                demand.held[key].committed += taken
                shipment.taken[key] = shipment.taken.get(key, 0) + taken
                missing -= taken
