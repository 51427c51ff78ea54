"""What the carriers know: shipments, received calls, and who may call. In memory and bounded."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

MAX_SHIPMENTS: Final = 10_000
MAX_CALLS: Final = 5_000
MAX_EVENTS: Final = 50

Carrier: TypeAlias = Literal["fedex", "dhl"]
ShipmentStatus: TypeAlias = Literal["purchased", "tendered", "closed", "voided"]
Operation: TypeAlias = Literal[
    "token", "ship", "validate", "cancel", "get", "rate", "track", "track_reference", "manifest", "other"
]


@dataclass(frozen=True)
class Party:
    """A sender or receiver as the label prints it. `country` is the code the carrier uses (FedEx: US, DHL: DEU)."""

    name: str
    company: str
    street: str
    city: str
    region: str
    postal_code: str
    country: str

    def lines(self) -> list[str]:
        """The printed lines of the address, without empty ones."""
        place = " ".join(part for part in (self.postal_code, self.city, self.region) if part)
        return [line for line in (self.company, self.name, self.street, place, self.country) if line]


@dataclass(frozen=True)
class ScanEvent:
    """One scan of the parcel: the carrier's own event code, a sentence, a place and when it happened."""

    code: str
    description: str
    city: str
    country: str
    at: datetime


@dataclass
class Shipment:
    """A bought label. A parcel of several pieces has one entry, with every piece's number in `pieces`."""

    carrier: Carrier
    tracking_number: str
    account: str
    reference: str | None
    service: str
    shipper: Party
    recipient: Party
    weight_kg: Decimal
    created_at: datetime
    label: str
    label_format: str
    net_charge: Decimal | None = None
    currency: str | None = None
    pieces: list[str] = field(default_factory=list[str])
    references: list[str] = field(default_factory=list[str])
    events: list[ScanEvent] = field(default_factory=list[ScanEvent])
    status: ShipmentStatus = "purchased"

    def summary(self) -> dict[str, Any]:
        """The shipment as the control API tells it: everything but the label itself."""
        told = asdict(self)
        del told["label"]
        return told


@dataclass
class Call:
    """One request a carrier received. `status` is None when no answer was sent."""

    carrier: Carrier
    operation: Operation
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    at: datetime
    status: int | None = None
    fault: str | None = None


class Store:
    """Shipments and calls, newest kept. Safe to use from any thread."""

    def __init__(self, *, max_shipments: int = MAX_SHIPMENTS, max_calls: int = MAX_CALLS) -> None:
        self._lock = threading.RLock()
        self._max_shipments = max_shipments
        self._shipments: OrderedDict[str, Shipment] = OrderedDict()
        self._by_piece: dict[str, str] = {}
        self._calls: deque[Call] = deque(maxlen=max_calls)

    def add(self, shipment: Shipment) -> None:
        """Remember a bought shipment; beyond `max_shipments` the oldest is forgotten."""
        with self._lock:
            self._shipments[shipment.tracking_number] = shipment
            for piece in shipment.pieces:
                self._by_piece[piece] = shipment.tracking_number
            while len(self._shipments) > self._max_shipments:
                _, forgotten = self._shipments.popitem(last=False)
                for piece in forgotten.pieces:
                    self._by_piece.pop(piece, None)

    def find(self, carrier: Carrier, number: str) -> Shipment | None:
        """The shipment with this tracking number, of the whole or of one piece."""
        with self._lock:
            shipment = self._shipments.get(self._by_piece.get(number, number))
        return shipment if shipment is not None and shipment.carrier == carrier else None

    def shipments(
        self, *, carrier: Carrier | None = None, reference: str | None = None, status: ShipmentStatus | None = None
    ) -> list[Shipment]:
        """Shipments that match every given filter, oldest first."""
        with self._lock:
            every = list(self._shipments.values())
        return [
            shipment
            for shipment in every
            if (carrier is None or shipment.carrier == carrier)
            and (reference is None or reference == shipment.reference or reference in shipment.references)
            and (status is None or shipment.status == status)
        ]

    def move(self, shipment: Shipment, *, allowed: Iterable[ShipmentStatus], to: ShipmentStatus) -> bool:
        """Change a shipment's status if it is one of `allowed`; of two racing callers exactly one gets True."""
        with self._lock:
            if shipment.status not in allowed:
                return False
            shipment.status = to
            return True

    def scan(self, shipment: Shipment, event: ScanEvent) -> None:
        """Append a scan; the oldest go beyond `MAX_EVENTS`."""
        with self._lock:
            shipment.events.append(event)
            del shipment.events[:-MAX_EVENTS]

    def record(self, call: Call) -> None:
        """Remember a received call."""
        with self._lock:
            self._calls.append(call)

    def calls(self, *, carrier: Carrier | None = None, operation: Operation | None = None) -> Iterator[Call]:
        """Received calls that match, oldest first."""
        with self._lock:
            every = list(self._calls)
        return (
            call
            for call in every
            if (carrier is None or call.carrier == carrier) and (operation is None or call.operation == operation)
        )

    def clear(self) -> None:
        """Forget every shipment and call."""
        with self._lock:
            self._shipments.clear()
            self._by_piece.clear()
            self._calls.clear()
