"""What channels and other services tell an order."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from rappit_orders.domain.values import OrderContent, Reservation, Shipment


class Rank(IntEnum):
    """Which of two deliveries of the same moment says more: the later kind of fact."""

    PLACED = 0
    CHANGED = 1
    CANCELLED = 2


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """Where a fact stands among all facts of its order: the greater is the newer, whatever order they arrive in.

    Attributes:
        changed_at: The channel's own time of the change.
        rank: Settles facts of the same moment.
        received_at: When the gateway accepted the delivery: settles the rest the same way on every replay.
    """

    changed_at: datetime
    rank: Rank
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ReceiveOrder:
    """Take an order as its channel now describes it, whole.

    Attributes:
        stamp: Of the content.
        cancellation_stamp: Of ``cancelled``, where it is another; the content's otherwise.
    """

    external_order_id: str
    content: OrderContent
    cancelled: bool
    stamp: Stamp
    cancellation_stamp: Stamp


@dataclass(frozen=True, slots=True)
class RemoveOrder:
    """Cancel an order that its channel removed, saying nothing more of it."""

    external_order_id: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery that asks nothing of an order, and why."""

    reason: str


Command = ReceiveOrder | RemoveOrder | Ignored


@dataclass(frozen=True, slots=True)
class ApplyReservation:
    """Take inventory's answer to the demand of ``order_version``."""

    order_id: UUID
    order_version: int
    reservation: Reservation


@dataclass(frozen=True, slots=True)
class FollowShipment:
    """Take what became of a parcel."""

    order_id: UUID
    shipment: Shipment


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel an order on a merchant's wish."""

    order_id: UUID
    reason: str
