"""What pages need of the APIs' answers: tolerant readers, which ignore whatever else there is."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

ItemT = TypeVar("ItemT")


class Reader(BaseModel):
    """Ignores fields it does not know; numbers where text is shown are taken as text."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, populate_by_name=True)


class PageOf(Reader, Generic[ItemT]):
    """One page of a list."""

    items: list[ItemT] = []
    next_cursor: str | None = None


class Me(Reader):
    """Who signed in."""

    label: str = Field(default="", validation_alias=AliasChoices("email", "label", "name", AliasPath("user", "email")))
    role: str = Field(validation_alias=AliasChoices("role", AliasPath("user", "role")))
    organization_id: str | None = Field(
        default=None, validation_alias=AliasChoices("organization_id", AliasPath("organization", "id"))
    )
    organization_name: str | None = Field(
        default=None, validation_alias=AliasChoices("organization_name", AliasPath("organization", "name"))
    )


class Customer(Reader):
    """Who ordered."""

    name: str | None = None
    email: str | None = None


class ShippingAddress(Reader):
    """Where it goes."""

    name: str | None = None
    company: str | None = None
    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country_code: str | None = None
    phone: str | None = None
    email: str | None = None


class OrderLine(Reader):
    """One line of an order."""

    sku: str | None = None
    name: str | None = None
    quantity: int = 0
    unit_price: str | None = None
    requires_shipping: bool = True


class Allocation(Reader):
    """Stock promised to an order."""

    sku: str
    warehouse_code: str
    quantity: int


class Shortage(Reader):
    """Stock an order waits for."""

    sku: str
    requested: int
    available: int


class Hold(Reader):
    """Why an order waits."""

    reason: str | None = None
    message: str | None = None


class TimelineEntry(Reader):
    """Something that happened to an order."""

    at: datetime
    kind: str = ""
    message: str = ""
    actor: str | None = None


class Cost(Reader):
    """What a label cost."""

    amount: str
    currency: str | None = None


class Trouble(Reader):
    """What went wrong with a shipment last."""

    message: str = ""


class Shipment(Reader):
    """A label bought, being bought, or voided."""

    id: str = Field(validation_alias=AliasChoices("id", "shipment_id"))
    order_id: str | None = None
    carrier: str = ""
    service: str | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    status: str = ""
    warehouse_code: str | None = None
    label_available: bool | None = None
    cost: Cost | None = None
    problem: Trouble | None = None

    @property
    def has_label(self) -> bool:
        """Whether its label can be printed; orders, which tell less, tell it by the status."""
        return self.status == "labelled" if self.label_available is None else self.label_available


class OrderSummary(Reader):
    """An order in a list."""

    id: str = Field(validation_alias=AliasChoices("id", "order_id"))
    external_order_id: str = ""
    number: str | None = None
    state: str
    payment_state: str | None = None
    currency: str | None = None
    total: str | None = None
    placed_at: datetime | None = None
    customer: Customer | None = None
    hold: Hold | None = None


class Order(OrderSummary):
    """An order whole."""

    updated_at: datetime | None = None
    shipping_address: ShippingAddress | None = None
    lines: list[OrderLine] = []
    allocations: list[Allocation] = []
    shortages: list[Shortage] = []
    shipments: list[Shipment] = []
    timeline: list[TimelineEntry] = []


class CarrierAccount(Reader):
    """A merchant's account with a carrier."""

    id: str
    carrier: str = ""
    name: str = ""


class Warehouse(Reader):
    """A place that holds stock."""

    code: str
    name: str | None = None


class Level(Reader):
    """Stock of one SKU in one warehouse."""

    sku: str
    warehouse_code: str
    quantity_total: int
    quantity_reserved: int
    quantity_available: int


class Adjusted(Reader):
    """A level after an adjustment, as far as the API tells."""

    quantity_total: int | None = Field(
        default=None, validation_alias=AliasChoices("quantity_total", AliasPath("level", "quantity_total"))
    )
    quantity_available: int | None = Field(
        default=None, validation_alias=AliasChoices("quantity_available", AliasPath("level", "quantity_available"))
    )


class ImportFailure(Reader):
    """A row that was not taken."""

    line: int | None = None
    field: str | None = None
    code: str | None = None
    message: str = ""
    value: str | None = None


class ImportSummary(Reader):
    """What an import did."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    duration_ms: float | None = None
    warnings: list[str] = []
    errors: list[ImportFailure] = []


class DeadLetter(Reader):
    """A message that failed for good, in a list."""

    id: str
    service: str
    queue: str
    event: str
    message_id: str = ""
    organization_id: str | None = None
    status: str
    error_type: str = ""
    error_message: str = ""
    attempts: int = 0
    failures: int = 0
    trace_id: str | None = None
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None


class DeadLetterWhole(DeadLetter):
    """A dead letter with its body and its reasons."""

    headers: dict[str, Any] = {}
    content_type: str = ""
    body: str = ""
    body_encoding: str = "utf-8"
    error_stack: str = ""
    requeued_by: str | None = None
