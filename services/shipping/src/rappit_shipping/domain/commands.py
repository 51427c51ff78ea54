"""What a merchant asks for."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from rappit_shipping.domain.carrier import Address, LabelFormat, Parcel

Verdict = Literal["bought", "not_bought", "voided", "not_voided"]


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Connect an account at a carrier."""

    carrier: str
    name: str
    credentials: dict[str, str]
    shipper: Address
    actor: str


@dataclass(frozen=True, slots=True)
class BuyLabel:
    """Buy a label for an order.

    Attributes:
        request_hash: Of the request as it came, so that a key used for another request is noticed.
        additional: One more label than the order's first.
    """

    order_id: UUID
    carrier_account_id: UUID
    service: str | None
    warehouse_code: str | None
    label_format: LabelFormat
    parcels: tuple[Parcel, ...]
    additional: bool
    idempotency_key: str | None
    request_hash: str
    actor: str


@dataclass(frozen=True, slots=True)
class Settle:
    """A person's word on a shipment whose outcome no carrier can tell."""

    shipment_id: UUID
    verdict: Verdict
    tracking_number: str | None
    reason: str
    actor: str
