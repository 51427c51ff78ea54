"""What the service tells others, and what it reads of what others say."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from rappit_common.messaging.events import PublishedEvent, ReceivedEvent
from rappit_common.messaging.topology import Subscription

from rappit_inventory.domain.allocation import Destination
from rappit_inventory.domain.stock import MAX_QUANTITY

MAX_CHANGES = 500
MAX_FILLED_SKUS = 500
MAX_SKU_CHARACTERS = 200
MAX_DEMAND_LINES = 5_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Status(StrEnum):
    """What became of an order's demand."""

    RESERVED = "reserved"
    BACKORDERED = "backordered"
    ON_HOLD = "on_hold"
    RELEASED = "released"


class Reason(StrEnum):
    """Why a demand waits."""

    INSUFFICIENT_STOCK = "insufficient_stock"
    UNKNOWN_SKU = "unknown_sku"


class AllocatedLine(_Part):
    """Units of an order that lie in, or were shipped from, one warehouse."""

    sku: str
    warehouse_code: str
    quantity: int


class ShortLine(_Part):
    """A SKU an order cannot have whole: what it asks for, and what it could get now."""

    sku: str
    requested: int
    available: int


class ReservationChanged(PublishedEvent):
    """The whole answer to one order's demand; the newest ``reservation_version`` is true."""

    event_name: ClassVar[str] = "inventory.reservation-changed.v1"

    order_id: UUID
    order_version: int
    reservation_version: int
    status: Status
    reason: Reason | None
    message: str | None
    allocations: list[AllocatedLine]
    shortages: list[ShortLine]
    unknown_skus: list[str]
    occurred_at: datetime


class ChangedLevel(_Part):
    """What lies in one warehouse of one SKU, after the change."""

    sku: str
    warehouse_code: str
    on_hand: int
    reserved: int
    available: int


class StockChanged(PublishedEvent):
    """Levels as they are now, coalesced: at most 500, each once."""

    event_name: ClassVar[str] = "inventory.stock-changed.v1"
    mandatory: ClassVar[bool] = False

    changes: Annotated[list[ChangedLevel], Field(max_length=MAX_CHANGES)]
    occurred_at: datetime


class LowLevel(_Part):
    """A level that has come down to its reorder point."""

    sku: str
    warehouse_code: str
    available: int
    reorder_point: int


class StockLow(PublishedEvent):
    """Levels that came down to their reorder points: told once, and again only after they rose above them."""

    event_name: ClassVar[str] = "inventory.stock-low.v1"
    mandatory: ClassVar[bool] = False

    levels: Annotated[list[LowLevel], Field(max_length=MAX_CHANGES)]
    occurred_at: datetime


class WaitingPosition(_Part):
    """A place in the line of waiting orders."""

    waiting_since: datetime
    order_id: UUID


class StockArrived(PublishedEvent):
    """SKUs that waiting orders may now have. The service tells itself, so that the line is served step by step."""

    event_name: ClassVar[str] = "inventory.stock-arrived.v1"

    sku_ids: Annotated[list[UUID], Field(max_length=MAX_FILLED_SKUS)]
    after: WaitingPosition | None
    after_priority: Annotated[int | None, Field(description="Of that place; ordinary when it is left out.")] = None
    occurred_at: datetime


class ReadAddress(BaseModel):
    """How far an order goes, as far as its address tells: what cannot be read there is as if it were not said."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    country_code: Any = None
    postal_code: Any = None

    def to_destination(self) -> Destination | None:
        """Return where it is."""
        country, postal = (part if isinstance(part, str) else None for part in (self.country_code, self.postal_code))
        return Destination.of(country, postal)


class DemandedLine(BaseModel):
    """Units of one SKU that an order needs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sku: Annotated[str, Field(min_length=1, max_length=MAX_SKU_CHARACTERS, pattern=r"^[^\x00]+$")]
    quantity: Annotated[int, Field(gt=0, le=MAX_QUANTITY)]


class OrderDemand(ReceivedEvent):
    """The part of an order's snapshot that concerns stock; an empty demand is a cancelled order."""

    order_id: UUID
    order_version: Annotated[int, Field(ge=1)]
    demand: Annotated[list[DemandedLine], Field(max_length=MAX_DEMAND_LINES)]
    shipping_address: ReadAddress | None = None


class ShipmentState(ReceivedEvent):
    """The part of a shipment's snapshot that concerns stock."""

    shipment_id: UUID
    order_id: UUID
    shipment_version: Annotated[int, Field(ge=1)]
    status: Literal["labelled", "voided"]
    warehouse_code: str | None = None
    lines: Annotated[list[DemandedLine], Field(max_length=MAX_DEMAND_LINES)]


class WaitingFillable(ReceivedEvent):
    """The service's own :class:`StockArrived`, read back."""

    sku_ids: list[UUID]
    after: WaitingPosition | None = None
    after_priority: int | None = None


RESERVE = Subscription(
    "inventory.reserve-on-order-changed",
    ("orders.order-placed.v1", "orders.order-changed.v1", "orders.order-cancelled.v1"),
    OrderDemand,
)
COMMIT = Subscription("inventory.commit-on-shipment-changed", ("shipping.shipment-changed.v1",), ShipmentState)
FILL = Subscription("inventory.fill-waiting", (StockArrived.event_name,), WaitingFillable)
