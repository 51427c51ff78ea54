"""What the service tells others, and what it reads of what others say."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from rappit_common.messaging.events import PublishedEvent, ReceivedEvent
from rappit_common.messaging.topology import Subscription

from rappit_orders.domain.channels import read_delivery
from rappit_orders.domain.channels.interface import Delivery
from rappit_orders.domain.commands import ApplyReservation, Command, FollowShipment
from rappit_orders.domain.values import (
    Allocation,
    Demand,
    Reservation,
    ReservationStatus,
    Shipment,
    ShipmentStatus,
    Shortage,
)

MAX_SETTLED_CHARACTERS = 255
MAX_REASON_CHARACTERS = 500

Amount = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="Decimal string.")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CustomerPart(_Part):
    """Who bought."""

    name: str | None
    email: str | None


class AddressPart(_Part):
    """Where it goes."""

    name: str | None
    company: str | None
    line1: str | None
    line2: str | None
    city: str | None
    region: str | None
    postal_code: str | None
    country_code: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2; ZZ when not known.")]
    phone: str | None
    email: str | None


class LinePart(_Part):
    """A line of an order; ``quantity`` is what is still wanted of it, 0 when it was removed."""

    line_id: UUID
    sku: str | None
    name: str
    quantity: Annotated[int, Field(ge=0)]
    unit_price: Amount
    requires_shipping: bool


class DemandPart(_Part):
    """What an order needs of one SKU, over all its lines."""

    sku: str
    quantity: Annotated[int, Field(gt=0)]


class AllocationPart(_Part):
    """Where inventory keeps it, as last told."""

    sku: str
    warehouse_code: str
    quantity: Annotated[int, Field(gt=0)]


class OrderSnapshot(PublishedEvent):
    """A whole order. Of two snapshots of an order the one with the greater ``state_version`` is true.

    ``order_version`` rises only when content or demand change, so inventory need not look at the others.
    """

    order_id: UUID
    order_version: Annotated[int, Field(ge=1)]
    state_version: Annotated[int, Field(ge=1)]
    channel_id: UUID | None
    external_order_id: str
    number: str
    state: Literal["received", "on_hold", "backordered", "reserved", "ready_to_ship", "cancelled"]
    payment_state: Literal[
        "pending", "authorized", "partially_paid", "paid", "partially_refunded", "refunded", "voided"
    ]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")]
    total: Amount
    placed_at: datetime
    updated_at: datetime
    customer: CustomerPart
    shipping_address: AddressPart | None
    lines: list[LinePart]
    demand: list[DemandPart]
    allocations: list[AllocationPart]


class OrderPlaced(OrderSnapshot):
    """The first snapshot of an order."""

    event_name: ClassVar[str] = "orders.order-placed.v1"


class OrderChanged(OrderSnapshot):
    """A later snapshot of an order."""

    event_name: ClassVar[str] = "orders.order-changed.v1"


class OrderCancelled(OrderSnapshot):
    """The snapshot with which an order became cancelled; its demand is empty."""

    event_name: ClassVar[str] = "orders.order-cancelled.v1"


class DeliverySettled(PublishedEvent):
    """What became of one accepted webhook, told once it is certain: the gateway's delivery log shows it."""

    event_name: ClassVar[str] = "orders.delivery-settled.v1"
    # Though nothing but a log hangs on it: an outcome is told once, and published to nobody it would leave its delivery
    # "accepted" for ever. Until the gateway's worker is deployed, outcomes wait in the outbox (ADR 0011).
    mandatory: ClassVar[bool] = True

    channel_id: UUID
    message_id: Annotated[UUID, Field(description="Of the gateway's message: the delivery's id in its log.")]
    provider: Annotated[str, Field(max_length=MAX_SETTLED_CHARACTERS)]
    topic: Annotated[str, Field(max_length=MAX_SETTLED_CHARACTERS)]
    delivery_id: Annotated[str, Field(max_length=MAX_SETTLED_CHARACTERS)]
    received_at: Annotated[datetime, Field(description="When the gateway accepted it, or the one it repeats.")]
    outcome: Literal["applied", "superseded", "duplicate", "ignored", "dead_lettered"]
    order_id: UUID | None
    external_order_id: Annotated[str | None, Field(max_length=MAX_SETTLED_CHARACTERS)]
    error_type: Annotated[str | None, Field(max_length=200, description="Stable name; of a dead letter only.")]
    error_message: Annotated[str | None, Field(max_length=MAX_REASON_CHARACTERS)]
    note: Annotated[
        str | None,
        Field(max_length=MAX_REASON_CHARACTERS, description="A sentence, where the outcome alone does not say it all."),
    ]
    settled_at: datetime


def _wire_name(field: str) -> str:
    return f"rappit-{field.replace('_', '-')}"


class WebhookHeaders(BaseModel):
    """The headers of an accepted webhook that this service uses."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=_wire_name)

    organization_id: UUID
    channel_id: UUID
    provider: str
    topic: str = ""
    delivery_id: str = ""
    dedupe_key: Annotated[str, Field(min_length=1)]
    received_at: datetime


def read_webhook(headers: Mapping[str, Any], body: bytes) -> tuple[WebhookHeaders, Command]:
    """Return what an accepted webhook says of itself, and the one command that it stands for.

    Raises:
        ValidationError: The gateway's headers are not as its contract says.
        UnknownProviderError: No adapter reads its provider.
        InvalidDeliveryError: The body is not what its topic says; names the field.
    """
    told = WebhookHeaders.model_validate(headers)
    return told, read_delivery(told.provider, Delivery(told.topic, body, told.received_at))


class _ReadAllocation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: str
    warehouse_code: str
    quantity: int


class _ReadShortage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: str
    requested: int
    available: int


class ReservationAnswer(ReceivedEvent):
    """Inventory's answer, as far as orders cares."""

    order_id: UUID
    order_version: int
    reservation_version: Annotated[int, Field(ge=1)]
    status: ReservationStatus
    reason: Annotated[str | None, Field(max_length=50)] = None
    message: str | None = None
    allocations: tuple[_ReadAllocation, ...] = ()
    shortages: tuple[_ReadShortage, ...] = ()

    def to_command(self) -> ApplyReservation:
        """Return what it asks of the order."""
        reservation = Reservation(
            version=self.reservation_version,
            status=self.status,
            reason=self.reason,
            message=self.message,
            allocations=tuple(
                Allocation(a.sku, a.warehouse_code, a.quantity) for a in self.allocations if a.quantity > 0
            ),
            shortages=tuple(Shortage(s.sku, s.requested, s.available) for s in self.shortages),
        )
        return ApplyReservation(self.order_id, self.order_version, reservation)


class _ReadShippedLine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: str
    quantity: int


class ShipmentNews(ReceivedEvent):
    """What became of a parcel, as far as orders cares."""

    shipment_id: UUID
    order_id: UUID
    shipment_version: Annotated[int, Field(ge=1)]
    status: ShipmentStatus
    carrier: str
    tracking_number: str
    lines: tuple[_ReadShippedLine, ...] = ()

    def to_command(self) -> FollowShipment:
        """Return what it asks of the order."""
        shipment = Shipment(
            self.shipment_id,
            self.shipment_version,
            self.status,
            self.carrier,
            self.tracking_number,
            tuple(Demand(line.sku, line.quantity) for line in self.lines),
        )
        return FollowShipment(self.order_id, shipment)


ACCEPT_WEBHOOK = Subscription("orders.accept-webhook", ("gateway.webhook-received.v1",), read_webhook)
APPLY_RESERVATION = Subscription("orders.apply-reservation", ("inventory.reservation-changed.v1",), ReservationAnswer)
FOLLOW_SHIPMENTS = Subscription("orders.follow-shipments", ("shipping.shipment-changed.v1",), ShipmentNews)
