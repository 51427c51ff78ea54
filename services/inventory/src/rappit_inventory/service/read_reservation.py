"""Look at one order's reservation."""

from uuid import UUID

from rappit_inventory.domain.demands import Demand
from rappit_inventory.domain.errors import UnknownReservationError
from rappit_inventory.domain.stock import Shelves
from rappit_inventory.unit import InventoryUnit


async def read_reservation(unit: InventoryUnit, order_id: UUID) -> tuple[Demand, Shelves]:
    """Return an order's demand, and the levels of what it holds.

    Raises:
        UnknownReservationError: No demand of this order has reached us.
    """
    demand = await unit.demands.get(order_id)
    # Without a version it was only promised a hold.
    if demand is None or not demand.order_version:
        raise UnknownReservationError(f"Nothing is known of order {order_id} here yet.", order_id=str(order_id))
    return demand, await unit.levels.read(key[0] for key in demand.held)
