"""What shipping knows of orders."""

from rappit_shipping.messages import OrderSnapshot
from rappit_shipping.unit import ShippingUnit


async def follow_order(unit: ShippingUnit, snapshot: OrderSnapshot) -> None:
    """Keep the newest state of an order; an older snapshot changes nothing."""
    await unit.orders.keep_newest(snapshot)
