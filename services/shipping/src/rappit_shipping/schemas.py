"""HTTP bodies."""

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from rappit_shipping.carriers.breaker import BreakerView
from rappit_shipping.domain.carrier import Address, LabelFormat, Parcel
from rappit_shipping.domain.commands import BuyLabel, OpenAccount, Settle, Verdict
from rappit_shipping.domain.shipments import ShipmentStatus
from rappit_shipping.models import CarrierAccount, Shipment
from rappit_shipping.service.purchases import amount_text

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
OptionalText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)] | None
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Size = Annotated[Decimal, Field(gt=0, le=1_000, max_digits=9)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AddressBody(_Body):
    """Where parcels leave from; a name or a company is needed."""

    name: OptionalText = None
    company: OptionalText = None
    line1: Text
    line2: OptionalText = None
    city: Text
    region: OptionalText = Field(None, description="State or province code; needed in the US and Canada.")
    postal_code: OptionalText = None
    country_code: CountryCode
    phone: OptionalText = None
    email: OptionalText = None

    @model_validator(mode="after")
    def _somebody(self) -> "AddressBody":
        if not (self.name or self.company):
            raise ValueError("give a name or a company")
        return self

    def to_value(self) -> Address:
        """Return the domain's address."""
        return Address(
            name=self.name or None,
            company=self.company or None,
            line1=self.line1,
            line2=self.line2 or None,
            city=self.city,
            region=self.region or None,
            postal_code=self.postal_code or None,
            country_code=self.country_code,
            phone=self.phone or None,
            email=self.email or None,
        )


class CarrierAccountCreate(_Body):
    """A new carrier account. Credentials are encrypted at once and never shown again."""

    carrier: Annotated[str, StringConstraints(to_lower=True, max_length=40)]
    name: Text
    credentials: Annotated[dict[str, SecretStr], Field(max_length=20)] = Field(
        description="FedEx: client_id, client_secret, account_number. "
        "DHL: api_key, api_secret, username, password, billing_number."
    )
    shipper: AddressBody

    def to_command(self, actor: str) -> OpenAccount:
        """Return the merchant's wish."""
        credentials = {name: secret.get_secret_value() for name, secret in self.credentials.items()}
        return OpenAccount(self.carrier, self.name, credentials, self.shipper.to_value(), actor)


class CarrierAccountRead(BaseModel):
    """A carrier account, without its credentials."""

    id: UUID
    carrier: str
    name: str
    shipper: dict[str, Any]
    created_by: str
    created_at: datetime

    @classmethod
    def of(cls, account: CarrierAccount) -> "CarrierAccountRead":
        """Read a stored account."""
        return cls.model_validate(account, from_attributes=True)


class ParcelBody(_Body):
    """One box; all three dimensions or none."""

    weight_kg: Size
    length_cm: Size | None = None
    width_cm: Size | None = None
    height_cm: Size | None = None

    @model_validator(mode="after")
    def _whole_box(self) -> "ParcelBody":
        given = [size is not None for size in (self.length_cm, self.width_cm, self.height_cm)]
        if any(given) and not all(given):
            raise ValueError("give length_cm, width_cm and height_cm, or none of them")
        return self

    def to_value(self) -> Parcel:
        """Return the domain's parcel."""
        return Parcel(self.weight_kg, self.length_cm, self.width_cm, self.height_cm)


class ShipmentCreate(_Body):
    """A wish for a label."""

    order_id: UUID
    carrier_account_id: UUID
    service: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)] | None = Field(
        None, description="The carrier's code, for example FEDEX_GROUND or V01PAK; chosen by destination when absent."
    )
    warehouse_code: Text | None = Field(None, description="Needed when the order lies in several warehouses.")
    label_format: LabelFormat = LabelFormat.PDF
    parcels: Annotated[list[ParcelBody], Field(min_length=1, max_length=30)]
    additional: bool = Field(default=False, description="One more label for an order that has one.")

    def to_command(self, idempotency_key: str | None, actor: str) -> BuyLabel:
        """Return the merchant's wish."""
        return BuyLabel(
            order_id=self.order_id,
            carrier_account_id=self.carrier_account_id,
            service=self.service,
            warehouse_code=self.warehouse_code,
            label_format=self.label_format,
            parcels=tuple(parcel.to_value() for parcel in self.parcels),
            additional=self.additional,
            idempotency_key=idempotency_key,
            # The validated body: the same wish in other whitespace is the same wish.
            request_hash=hashlib.sha256(self.model_dump_json().encode()).hexdigest(),
            actor=actor,
        )


class Money(BaseModel):
    """What the carrier charges; the amount is a decimal string."""

    amount: str
    currency: str


class Trouble(BaseModel):
    """What went wrong last, for programs and for people."""

    code: str
    message: str


class ShipmentRead(BaseModel):
    """A shipment as it stands."""

    id: UUID
    order_id: UUID
    order_number: str
    carrier: str
    carrier_account_id: UUID
    status: ShipmentStatus
    reference: str
    service: str | None
    warehouse_code: str | None
    label_format: LabelFormat
    label_available: bool
    parcels: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    tracking_number: str | None
    piece_numbers: list[str]
    cost: Money | None
    problem: Trouble | None
    needs_person: bool
    created_by: str
    created_at: datetime
    purchased_at: datetime | None
    voided_at: datetime | None

    @classmethod
    def of(cls, shipment: Shipment, *, label_available: bool) -> "ShipmentRead":
        """Read a stored shipment."""
        cost = None
        if shipment.cost_amount is not None and shipment.cost_currency is not None:
            cost = Money(amount=amount_text(shipment), currency=shipment.cost_currency)
        problem = None
        if shipment.problem_code is not None:
            problem = Trouble(code=shipment.problem_code, message=shipment.problem or "")
        columns = {name: getattr(shipment, name) for name in cls.model_fields if name not in _MADE}
        return cls(**columns, label_available=label_available, cost=cost, problem=problem)


_MADE = {"label_available", "cost", "problem"}


class SettleBody(_Body):
    """A person's word on an outcome that the carrier cannot tell."""

    verdict: Verdict
    tracking_number: Text | None = None
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _tracked(self) -> "SettleBody":
        if self.verdict == "bought" and not self.tracking_number:
            raise ValueError("give the tracking_number of the label that was bought")
        return self

    def to_command(self, shipment_id: UUID, actor: str) -> Settle:
        """Return the person's word."""
        return Settle(shipment_id, self.verdict, self.tracking_number, self.reason, actor)


# purgatory's words, and the field's.
_BREAKER_STATES: dict[str, Literal["closed", "open", "half_open"]] = {
    "closed": "closed",
    "opened": "open",
    "half-opened": "half_open",
}


class BreakerRead(BaseModel):
    """How a carrier's breaker stands."""

    state: Literal["closed", "open", "half_open"]
    failures: int = Field(description="In a row.")
    opens_until: datetime | None = Field(description="When an open breaker lets the next call try.")
    is_shared: bool = Field(description="False while Redis is away and each process counts by itself.")


class CarrierRead(BaseModel):
    """A carrier and how it fares."""

    carrier: str
    name: str
    can_void: bool
    can_find: bool = Field(description="Whether an unknown purchase is looked up by itself.")
    breaker: BreakerRead

    @classmethod
    def of(cls, code: str, name: str, view: BreakerView, *, can_void: bool, can_find: bool) -> "CarrierRead":
        """Read a carrier's view."""
        breaker = BreakerRead(
            state=_BREAKER_STATES[view.state],
            failures=view.failures,
            opens_until=view.opens_until,
            is_shared=view.is_shared,
        )
        return cls(carrier=code, name=name, can_void=can_void, can_find=can_find, breaker=breaker)
