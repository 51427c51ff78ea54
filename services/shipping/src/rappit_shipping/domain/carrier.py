"""The one port behind which every carrier stands, and what can come of a call to one.

A call ends in exactly one of four ways, and the difference is money: done; refused by the carrier (nothing happened);
never sent (nothing happened, may be tried again); or unknown (a label may have been bought: look, never ask blindly).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from rappit_common.errors import InvalidError

MAX_REFERENCE_CHARACTERS = 30  # FedEx's CUSTOMER_REFERENCE; DHL's refNo takes 8 to 35

Credentials = Mapping[str, str]


class LabelFormat(StrEnum):
    """What the merchant's printer takes."""

    PDF = "pdf"
    ZPL = "zpl"


MEDIA_TYPES = {LabelFormat.PDF: "application/pdf", LabelFormat.ZPL: "text/x-zpl"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a parcel comes from or goes to; ``country_code`` is ISO 3166-1 alpha-2."""

    name: str | None
    company: str | None
    line1: str
    line2: str | None
    city: str
    region: str | None
    postal_code: str | None
    country_code: str
    phone: str | None
    email: str | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """One box, in kilograms and centimetres; all three dimensions or none."""

    weight_kg: Decimal
    length_cm: Decimal | None = None
    width_cm: Decimal | None = None
    height_cm: Decimal | None = None


@dataclass(frozen=True, slots=True)
class LabelOrder:
    """What is asked of a carrier.

    Attributes:
        reference: Ours, unique for ever, at most 30 characters; carriers know no idempotency key, so this is how an
            unknown outcome is looked up.
        service: The carrier's own code; the carrier's adapter chooses a sensible one when None.
    """

    reference: str
    service: str | None
    shipper: Address
    recipient: Address
    parcels: tuple[Parcel, ...]
    label_format: LabelFormat


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217)."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Purchase:
    """A label that was bought, read out of the answer without touching the label itself.

    Attributes:
        tracking_number: Of the shipment as a whole.
        piece_numbers: Of each parcel.
        cost: What the carrier charges, when it says so at once.
        raw: The carrier's whole answer, kept before anything is made of it.
    """

    tracking_number: str
    piece_numbers: tuple[str, ...]
    cost: Money | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Label:
    """A printable label."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Found:
    """A label that the carrier says it sold under our reference."""

    tracking_number: str
    is_voided: bool


class VoidState(StrEnum):
    """What a carrier knows of a label whose void had an unknown outcome."""

    VOIDED = "voided"
    LIVE = "live"
    UNCLEAR = "unclear"


class InvalidCredentialsError(InvalidError):
    """An account's credentials lack something or have a wrong form."""

    code = "invalid_credentials"


class UnshippableError(InvalidError):
    """The carrier could never take this parcel as it was described."""

    code = "unshippable"


class CarrierFailure(Exception):  # noqa: N818 - the four endings are named for what they mean
    """A call to a carrier that did not end well; ``detail`` is a sentence for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Refused(CarrierFailure):
    """The carrier is up and said no; nothing was bought or voided. ``detail`` is the carrier's exact message."""

    def __init__(self, detail: str, *, status: int, raw: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.raw = raw


class NotSent(CarrierFailure):
    """The request never reached the carrier, or was turned away unread (429): safe to try again."""

    def __init__(self, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(CarrierFailure):
    """The request may have been carried out."""

    def __init__(self, detail: str, *, timed_out: bool = False, raw: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.timed_out = timed_out
        self.raw = raw


class UnsupportedByCarrierError(Exception):
    """The carrier was asked for what it does not offer; ``can_void`` and ``can_find`` say so beforehand. A bug."""


class LabelUnreadableError(Exception):
    """The carrier's answer holds no label that can be printed; the label was bought all the same."""


class Carrier(Protocol):
    """What Rappit asks of any carrier. Every method may raise ``Refused``, ``NotSent`` or ``OutcomeUnknown``."""

    @property
    def code(self) -> str:
        """Stable name in our API, for example ``fedex``."""
        ...

    @property
    def name(self) -> str:
        """Name for people."""
        ...

    @property
    def can_void(self) -> bool:
        """Whether a label can be given back at all."""
        ...

    @property
    def can_find(self) -> bool:
        """Whether a purchase can be looked up by our reference."""
        ...

    def check_credentials(self, credentials: Credentials) -> dict[str, str]:
        """Return the credentials this carrier needs, and no others.

        Raises:
            InvalidCredentialsError: Something is missing or malformed; names it.
        """
        ...

    async def buy_label(self, credentials: Credentials, order: LabelOrder) -> Purchase:
        """Buy one label.

        Raises:
            UnshippableError: The request cannot be written in the carrier's terms.
        """
        ...

    def read_label(self, raw: Mapping[str, Any], label_format: LabelFormat) -> Label:
        """Read the label out of a purchase's answer; may take CPU time, so call it from a thread.

        Raises:
            LabelUnreadableError: There is none, or it cannot be read.
        """
        ...

    async def void(self, credentials: Credentials, tracking_number: str) -> None:
        """Give a label back; returning means that the carrier's body said so, not just its status."""
        ...

    async def find(self, credentials: Credentials, reference: str) -> Found | None:
        """Return the purchase made under our reference, or None when the carrier knows of none."""
        ...

    async def void_state(
        self, credentials: Credentials, tracking_number: str, *, bought_at: datetime, now: datetime
    ) -> VoidState:
        """Return what became of a void whose outcome is unknown."""
        ...
