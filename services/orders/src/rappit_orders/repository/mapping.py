"""An order as a row, and back."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rappit_orders.domain.commands import Rank, Stamp
from rappit_orders.domain.lifecycle import OrderState
from rappit_orders.domain.order import Order
from rappit_orders.domain.values import (
    Address,
    Allocation,
    Customer,
    Demand,
    Hold,
    Line,
    OrderContent,
    PaymentState,
    Reservation,
    ReservationStatus,
    Shipment,
    ShipmentStatus,
    Shortage,
)
from rappit_orders.models import OrderRow


def columns_of(order: Order) -> dict[str, Any]:
    """Return the columns of an order that change over its life."""
    content, hold = order.content, order.hold
    address = content.shipping_address
    return {
        "number": content.number,
        "state": order.state.value,
        "payment_state": content.payment_state.value,
        "order_version": order.order_version,
        "state_version": order.state_version,
        "currency": content.currency,
        "total": content.total,
        "placed_at": content.placed_at,
        "updated_at": order.updated_at,
        "customer_name": content.customer.name,
        "customer_email": content.customer.email,
        "note": content.note,
        "hold_reason": hold.reason if hold else None,
        "hold_message": hold.message if hold else None,
        "shipping_address": asdict(address) if address else None,
        "lines": [{**asdict(line), "unit_price": format(line.unit_price, "f")} for line in content.lines],
        "demand": [asdict(demand) for demand in order.demand],
        "reservation": asdict(order.reservation),
        "shipments": [{**asdict(s), "shipment_id": str(s.shipment_id)} for s in order.shipments],
        **_stamp_columns("content", order.content_stamp),
        **_stamp_columns("cancellation", order.cancellation_stamp),
        "channel_cancelled": order.channel_cancelled,
        "merchant_cancelled": order.merchant_cancelled,
    }


def order_of(row: OrderRow) -> Order:
    """Return the order of a row."""
    return Order(
        id=row.id,
        channel_id=row.channel_id,
        external_order_id=row.external_order_id,
        content=_content(row),
        updated_at=row.updated_at,
        content_stamp=_stamp(row.content_changed_at, row.content_rank, row.content_received_at),
        channel_cancelled=row.channel_cancelled,
        cancellation_stamp=_stamp(row.cancellation_changed_at, row.cancellation_rank, row.cancellation_received_at),
        merchant_cancelled=row.merchant_cancelled,
        state=OrderState(row.state),
        hold=Hold(row.hold_reason, row.hold_message or "") if row.hold_reason else None,
        order_version=row.order_version,
        state_version=row.state_version,
        demand=tuple(Demand(**told) for told in row.demand),
        reservation=_reservation(row.reservation),
        shipments=tuple(_shipment(told) for told in row.shipments),
    )


def _content(row: OrderRow) -> OrderContent:
    return OrderContent(
        number=row.number,
        currency=row.currency,
        total=row.total,
        payment_state=PaymentState(row.payment_state),
        placed_at=row.placed_at,
        customer=Customer(row.customer_name, row.customer_email),
        shipping_address=Address(**row.shipping_address) if row.shipping_address else None,
        lines=tuple(_line(told) for told in row.lines),
        note=row.note,
    )


def _line(told: dict[str, Any]) -> Line:
    return Line(
        external_line_id=told["external_line_id"],
        sku=told["sku"],
        name=told["name"],
        quantity=told["quantity"],
        unit_price=Decimal(told["unit_price"]),
        requires_shipping=told["requires_shipping"],
    )


def _reservation(told: dict[str, Any]) -> Reservation:
    return Reservation(
        version=told["version"],
        status=ReservationStatus(told["status"]) if told["status"] else None,
        reason=told["reason"],
        message=told["message"],
        allocations=tuple(Allocation(**part) for part in told["allocations"]),
        shortages=tuple(Shortage(**part) for part in told["shortages"]),
    )


def _shipment(told: dict[str, Any]) -> Shipment:
    return Shipment(
        shipment_id=UUID(told["shipment_id"]),
        version=told["version"],
        status=ShipmentStatus(told["status"]),
        carrier=told["carrier"],
        tracking_number=told["tracking_number"],
        lines=tuple(Demand(**line) for line in told.get("lines", ())),
    )


def _stamp_columns(of: str, stamp: Stamp | None) -> dict[str, Any]:
    return {
        f"{of}_changed_at": stamp.changed_at if stamp else None,
        f"{of}_rank": int(stamp.rank) if stamp else None,
        f"{of}_received_at": stamp.received_at if stamp else None,
    }


def _stamp(changed_at: datetime | None, rank: int | None, received_at: datetime | None) -> Stamp | None:
    if changed_at is None or rank is None or received_at is None:
        return None
    return Stamp(changed_at, Rank(rank), received_at)
