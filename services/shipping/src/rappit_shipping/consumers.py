"""What shipping does when others tell it something."""

from typing import Annotated

from faststream import Context
from faststream.rabbit import RabbitMessage, RabbitRouter
from rappit_common.unit_of_work import UnitsOfWork

from rappit_shipping.messages import FOLLOW_ORDERS, OrderSnapshot
from rappit_shipping.service import orders
from rappit_shipping.unit import ShippingUnit


def make_router() -> RabbitRouter:
    """Return the subscribers."""
    router = RabbitRouter()

    @router.subscriber(FOLLOW_ORDERS.as_faststream())
    async def follow_orders(  # pyright: ignore[reportUnusedFunction] - registered
        snapshot: OrderSnapshot, message: RabbitMessage, units: Annotated[UnitsOfWork[ShippingUnit], Context("units")]
    ) -> None:
        """Keep the newest snapshot of an order."""
        async with units.begin(snapshot.organization_id) as unit:
            if await unit.inbox.claim(FOLLOW_ORDERS.queue, message.message_id):
                await orders.follow_order(unit, snapshot)

    return router
