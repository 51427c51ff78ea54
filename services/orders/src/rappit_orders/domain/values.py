"""What an order is made of."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID, uuid5

NO_CURRENCY = "XXX"
"""ISO 4217 for "no currency involved"."""

UNKNOWN_COUNTRY = "ZZ"
"""ISO 3166-1 leaves ZZ to its users; it commonly stands for an unknown country."""


class PaymentState(StrEnum):
    """How far an order is paid, in Shopify's words, which the other channels' are mapped to."""

    PENDING = "pending"
    AUTHORIZED = "authorized"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Customer:
    """Who bought."""

    name: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """Where it goes. ``country_code`` is ISO 3166-1 alpha-2, ``ZZ`` when the channel did not tell."""

    name: str | None
    company: str | None
    line1: str | None
    line2: str | None
    city: str | None
    region: str | None
    postal_code: str | None
    country_code: str
    phone: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order.

    Attributes:
        external_line_id: The channel's id of the line, the same over all edits.
        sku: None when the channel has none.
        quantity: What is still wanted of it, after edits and removals.
        unit_price: In the order's currency.
        requires_shipping: False for what is neither reserved nor shipped: digital goods, gift cards, tips.
    """

    external_line_id: str
    sku: str | None
    name: str
    quantity: int
    unit_price: Decimal
    requires_shipping: bool

    def id_in(self, order_id: UUID) -> UUID:
        """Return our id of the line, the same over all edits and replays."""
        return uuid5(order_id, self.external_line_id)

    @property
    def takes_stock(self) -> bool:
        """Whether something must be picked for this line."""
        return self.requires_shipping and self.quantity > 0


@dataclass(frozen=True, slots=True)
class OrderContent:
    """Everything a channel says an order is, apart from whether it is cancelled."""

    number: str
    currency: str
    total: Decimal
    payment_state: PaymentState
    placed_at: datetime
    customer: Customer
    shipping_address: Address | None
    lines: tuple[Line, ...]
    note: str | None = None

    @classmethod
    def unknown(cls, external_order_id: str, at: datetime) -> "OrderContent":
        """Return what is known of an order of which only the removal has arrived yet."""
        nobody = Customer(name=None, email=None)
        return cls(external_order_id, NO_CURRENCY, Decimal(0), PaymentState.PENDING, at, nobody, None, ())

    @property
    def lines_without_sku(self) -> tuple[Line, ...]:
        """Lines that take stock nobody can name."""
        return tuple(line for line in self.lines if line.takes_stock and line.sku is None)


@dataclass(frozen=True, slots=True, order=True)
class Demand:
    """How many units of one SKU an order needs."""

    sku: str
    quantity: int


def demand_of(lines: Iterable[Line]) -> tuple[Demand, ...]:
    """Return what lines need of each SKU: the same SKU on two lines is one demand. Sorted by SKU."""
    wanted: Counter[str] = Counter()
    for line in lines:
        if line.takes_stock and line.sku is not None:
            wanted[line.sku] += line.quantity
    return tuple(sorted(Demand(sku, quantity) for sku, quantity in wanted.items()))


@dataclass(frozen=True, slots=True)
class Allocation:
    """Units of a SKU that inventory keeps for an order in one warehouse."""

    sku: str
    warehouse_code: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """A SKU of which an order wants more than it could get."""

    sku: str
    requested: int
    available: int


class ReservationStatus(StrEnum):
    """What inventory made of a demand."""

    RESERVED = "reserved"
    BACKORDERED = "backordered"
    ON_HOLD = "on_hold"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Inventory's newest answer.

    Attributes:
        version: Of the answer; 0 before the first. Only a newer one is listened to.
        status: None while the present demand is not answered yet.
        allocations: As last told, so also of the demand before while the present one is not answered.
    """

    version: int = 0
    status: ReservationStatus | None = None
    reason: str | None = None
    message: str | None = None
    allocations: tuple[Allocation, ...] = ()
    shortages: tuple[Shortage, ...] = ()


class ShipmentStatus(StrEnum):
    """What shipping made of a parcel."""

    LABELLED = "labelled"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Shipment:
    """A parcel of an order, as shipping last told.

    Attributes:
        lines: What is in it; empty when shipping did not say.
    """

    shipment_id: UUID
    version: int
    status: ShipmentStatus
    carrier: str
    tracking_number: str
    lines: tuple[Demand, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an order does not move on by itself, for a program and for a person."""

    reason: str
    message: str
