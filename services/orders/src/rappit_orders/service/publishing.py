"""Tells the world of an order that changed, and its timeline why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_orders.domain.lifecycle import OrderState
from rappit_orders.domain.order import Order
from rappit_orders.messages import OrderCancelled, OrderChanged, OrderPlaced, OrderSnapshot
from rappit_orders.unit import OrdersUnit


@dataclass(frozen=True, slots=True)
class Told:
    """What others knew of an order before it was changed."""

    state: OrderState
    state_version: int

    @classmethod
    def of(cls, order: Order) -> "Told":
        """Remember it."""
        return cls(order.state, order.state_version)


async def record(unit: OrdersUnit, order: Order, told: Told, *, now: datetime, cause: Mapping[str, Any]) -> None:
    """Publish the order's snapshot if there is anything new in it, and append what happened to its timeline."""
    if order.state_version > told.state_version:
        unit.outbox.add(snapshot_of(order, told, unit.organization_id))
    await unit.timeline.append(order.id, order.happenings, at=now, cause=cause)
    order.happenings.clear()


def snapshot_of(order: Order, told: Told, organization_id: UUID) -> OrderSnapshot:
    """Return the event that tells an order whole."""
    kind: type[OrderSnapshot] = OrderChanged
    if told.state_version == 0:
        kind = OrderPlaced
    elif order.state is OrderState.CANCELLED and told.state is not OrderState.CANCELLED:
        kind = OrderCancelled
    content = order.content
    # Validated on the way out: a snapshot that breaks its contract must fail here, not at every consumer.
    return kind.model_validate(
        {
            "organization_id": organization_id,
            "order_id": order.id,
            "order_version": order.order_version,
            "state_version": order.state_version,
            "channel_id": order.channel_id,
            "external_order_id": order.external_order_id,
            "number": content.number,
            "state": order.state.value,
            "payment_state": content.payment_state.value,
            "currency": content.currency,
            "total": format(content.total, "f"),
            "placed_at": content.placed_at,
            "updated_at": order.updated_at,
            "customer": asdict(content.customer),
            "shipping_address": asdict(content.shipping_address) if content.shipping_address else None,
            "lines": [
                {
                    "line_id": line.id_in(order.id),
                    "sku": line.sku,
                    "name": line.name,
                    "quantity": line.quantity,
                    "unit_price": format(line.unit_price, "f"),
                    "requires_shipping": line.requires_shipping,
                }
                for line in content.lines
            ],
            "demand": [asdict(demand) for demand in order.demand],
            "allocations": [asdict(allocation) for allocation in order.reservation.allocations],
        }
    )
