"""Events that shipping publishes, and the few fields that it reads of others'."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from rappit_common.messaging.events import PublishedEvent, ReceivedEvent
from rappit_common.messaging.topology import Subscription


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShippedLine(_Part):
    """How many of a SKU are in the shipment."""

    sku: str
    quantity: Annotated[int, Field(gt=0)]


class Cost(_Part):
    """What the carrier charges."""

    amount: Annotated[str, Field(pattern=r"^\d+(\.\d+)?$", description="Decimal string.")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class ShipmentChanged(PublishedEvent):
    """A label was bought, or given back. ``shipment_version`` rises with each event of a shipment: the newest wins."""

    event_name: ClassVar[str] = "shipping.shipment-changed.v1"

    shipment_id: UUID
    order_id: UUID
    shipment_version: Annotated[int, Field(ge=1)]
    status: Literal["labelled", "voided"]
    carrier: str
    tracking_number: str
    warehouse_code: str | None
    lines: list[ShippedLine]
    cost: Cost | None
    occurred_at: datetime


class _ReadPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ReadAddress(_ReadPart):
    """Where an order goes."""

    name: str | None = None
    company: str | None = None
    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country_code: str
    phone: str | None = None
    email: str | None = None


class ReadAllocation(_ReadPart):
    """What of an order is reserved where."""

    sku: str
    warehouse_code: str
    quantity: int


class OrderSnapshot(ReceivedEvent):
    """The fields of ``orders.order-*.v1`` that shipping uses."""

    order_id: UUID
    state_version: int
    number: str
    state: str
    shipping_address: ReadAddress | None = None
    allocations: tuple[ReadAllocation, ...] = ()
    updated_at: datetime


FOLLOW_ORDERS = Subscription(
    "shipping.follow-orders",
    ("orders.order-placed.v1", "orders.order-changed.v1", "orders.order-cancelled.v1"),
    OrderSnapshot,
)
