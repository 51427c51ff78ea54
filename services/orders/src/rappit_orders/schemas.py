"""HTTP bodies: an order is told with the same fields as in its events, and more."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from rappit_orders.domain.lifecycle import OrderState
from rappit_orders.domain.values import Line, PaymentState, ShipmentStatus
from rappit_orders.messages import AddressPart, AllocationPart, CustomerPart, DemandPart, LinePart
from rappit_orders.repository.orders import OrderSummary
from rappit_orders.service.desk import OrderStory


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class HoldRead(_Body):
    """Why an order does not move on by itself."""

    reason: str = Field(examples=["insufficient_stock"])
    message: str = Field(examples=["Insufficient stock: SKU MUG needs 5, 2 available."])


class ShortageRead(_Body):
    """A SKU of which there is less than the order wants."""

    sku: str
    requested: int
    available: int


class ShipmentRead(_Body):
    """A parcel of the order."""

    shipment_id: UUID
    carrier: str
    tracking_number: str
    status: ShipmentStatus


class TimelineRead(_Body):
    """Something that happened to the order."""

    at: datetime
    kind: str
    message: str
    actor: str = Field(description="A channel's kind, a service, or who was signed in.")
    trace_id: str | None
    detail: dict[str, Any] = Field(description="Ids of what caused it: webhook delivery, message, shipment.")


class OrderListed(_Body):
    """An order in a list."""

    id: UUID
    order_id: UUID = Field(description="The same as `id`, as events call it.")
    order_version: int
    state_version: int
    channel_id: UUID | None
    external_order_id: str
    number: str
    state: OrderState
    payment_state: PaymentState
    currency: str
    total: str = Field(description="Decimal string in `currency`.")
    placed_at: datetime
    updated_at: datetime
    customer: CustomerPart
    hold: HoldRead | None

    @classmethod
    def of_summary(cls, summary: OrderSummary) -> "OrderListed":
        """Return the body of a list's row."""
        told = {**asdict(summary), "order_id": summary.id, "total": format(summary.total, "f")}
        return cls.model_validate(told)


class LineRead(LinePart):
    """A line of an order, with the channel's own id of it."""

    external_line_id: str

    @classmethod
    def of_line(cls, line: Line, order_id: UUID) -> "LineRead":
        """Return the body of a line."""
        return cls(
            line_id=line.id_in(order_id),
            external_line_id=line.external_line_id,
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            unit_price=format(line.unit_price, "f"),
            requires_shipping=line.requires_shipping,
        )


class OrderRead(OrderListed):
    """An order whole."""

    note: str | None
    shipping_address: AddressPart | None
    lines: list[LineRead]
    demand: list[DemandPart]
    allocations: list[AllocationPart]
    shortages: list[ShortageRead]
    shipments: list[ShipmentRead]
    timeline: list[TimelineRead] = Field(description="The newest 500 happenings, the oldest first.")

    @classmethod
    def of_story(cls, story: OrderStory) -> "OrderRead":
        """Return the body of an order."""
        order, content = story.order, story.order.content
        return cls(
            id=order.id,
            order_id=order.id,
            order_version=order.order_version,
            state_version=order.state_version,
            channel_id=order.channel_id,
            external_order_id=order.external_order_id,
            number=content.number,
            state=order.state,
            payment_state=content.payment_state,
            currency=content.currency,
            total=format(content.total, "f"),
            placed_at=content.placed_at,
            updated_at=order.updated_at,
            customer=CustomerPart(**asdict(content.customer)),
            hold=HoldRead.model_validate(order.hold) if order.hold else None,
            note=content.note,
            shipping_address=AddressPart(**asdict(content.shipping_address)) if content.shipping_address else None,
            lines=[LineRead.of_line(line, order.id) for line in content.lines],
            demand=[DemandPart(**asdict(demand)) for demand in order.demand],
            allocations=[AllocationPart(**asdict(allocation)) for allocation in order.reservation.allocations],
            shortages=[ShortageRead.model_validate(shortage) for shortage in order.reservation.shortages],
            shipments=[ShipmentRead.model_validate(shipment) for shipment in order.shipments],
            timeline=[TimelineRead.model_validate(entry) for entry in story.timeline],
        )


class CancelRequest(BaseModel):
    """Why an order is cancelled."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)] = Field(
        examples=["customer changed their mind"]
    )
