"""What merchants ask of their orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rappit_orders.domain.commands import CancelOrder
from rappit_orders.domain.order import Order
from rappit_orders.repository.orders import OrderFilter, OrderSummary
from rappit_orders.repository.timeline import TimelineEntry
from rappit_orders.service.publishing import Told, record
from rappit_orders.unit import OrdersUnit


@dataclass(frozen=True, slots=True)
class OrderStory:
    """An order and what happened to it, the oldest first."""

    order: Order
    timeline: Sequence[TimelineEntry]


async def list_orders(
    unit: OrdersUnit, wanted: OrderFilter, *, before_id: UUID | None, limit: int
) -> Sequence[OrderSummary]:
    """Return at most ``limit`` orders that arrived before ``before_id``, the newest first."""
    return await unit.orders.page(wanted, before_id=before_id, limit=limit)


async def tell_story(unit: OrdersUnit, order_id: UUID) -> OrderStory:
    """Return an order and what happened to it.

    Raises:
        OrderNotFoundError: No such order for this tenant.
    """
    return OrderStory(await unit.orders.get(order_id), await unit.timeline.of_order(order_id))


async def cancel_order(unit: OrdersUnit, command: CancelOrder, *, actor: str, now: datetime) -> OrderStory:
    """Cancel an order on its merchant's wish; its stock is released. Cancelling again changes nothing.

    Raises:
        OrderNotFoundError: No such order for this tenant.
        LabelledOrderError: A label was bought: its shipment must be voided first.
    """
    order = await unit.orders.lock(command.order_id)
    told = Told.of(order)
    order.cancel(command.reason, actor=actor, now=now)
    await unit.orders.save(order)
    await record(unit, order, told, now=now, cause={})
    return OrderStory(order, await unit.timeline.of_order(order.id))
