"""Any other channel: the Rappit order schema over Standard Webhooks, or over an HMAC of the platform's own.

The schema is written down in the README beside this package; the orders service reads the same text.
"""

import base64
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

import httpx
from typing_extensions import Unpack, override

from rappit_doubles.channels.delivery import NO_RETRIES, Letter, Retries, Sender, SentOrder
from rappit_doubles.channels.signing import SECRET_PREFIX, forged, hex_signature, standard_signature
from rappit_doubles.channels.values import Address, Basket, Customer, Line, NewLine, edit_basket, money
from rappit_doubles.clock import Clock, now_utc

SECRET_BYTES: Final = (24, 64)
FIRST_ORDER_NUMBER: Final = 5001

PaymentStatus = Literal["pending", "authorized", "paid", "refunded", "voided", "partially_paid", "partially_refunded"]


class Shared(TypedDict, total=False):
    """What both kinds are opened with."""

    currency: str
    clock: Clock
    rng: random.Random | None
    client: httpx.AsyncClient | None
    retries: Retries


class RappitSender(Sender):
    """A channel that sends the Rappit order schema, however it signs it.

    Args:
        url: Where the webhooks go.
        currency: The currency of its orders.
        clock: Where the time comes from; the signature's timestamp is its second.
        rng: Where ids come from; pass a seeded one to repeat a run.
        client: An HTTP client to share; it is then not closed here.
        retries: When to try again; never by default.
    """

    timeout_s = 15.0

    def __init__(
        self,
        url: str,
        *,
        currency: str = "EUR",
        clock: Clock = now_utc,
        rng: random.Random | None = None,
        client: httpx.AsyncClient | None = None,
        retries: Retries = NO_RETRIES,
    ) -> None:
        super().__init__(url, clock=clock, rng=rng, client=client, retries=retries)
        self.currency = currency
        self._next_number = FIRST_ORDER_NUMBER

    def create_order(
        self,
        lines: Sequence[NewLine],
        customer: Customer | None = None,
        address: Address | None = None,
        *,
        payment_status: PaymentStatus = "paid",
        note: str | None = None,
        ships: bool = True,
    ) -> "StandardOrder":
        """A new order, not yet delivered. `ships=False` is a digital one, without an address."""
        basket = self.source.basket(lines)
        for line in basket.lines:
            line.requires_shipping = ships
        number = self._next_number
        self._next_number += 1
        order = StandardOrder(self, number, basket, customer or Customer(), (address or Address()) if ships else None)
        order.payment_status = payment_status
        order.note = note
        return order

    @override
    def new_delivery_id(self) -> str:
        return f"msg_{self.source.hex(14)}"


class StandardWebhooksSender(RappitSender):
    """A sender of Standard Webhooks; each attempt is signed anew with the second it is sent in, under one id.

    Args:
        url: Where the webhooks go.
        secret: `whsec_` and base64 of 24 to 64 bytes.
        more_secrets: Further secrets to sign with as well, as a sender does while it rotates.
        shared: See `RappitSender`.

    Raises:
        ValueError: A secret is not of that form.
    """

    def __init__(self, url: str, secret: str, *, more_secrets: Sequence[str] = (), **shared: Unpack[Shared]) -> None:
        super().__init__(url, **shared)
        self.secrets = [secret, *more_secrets]
        for one in self.secrets:
            size = len(base64.b64decode(one.removeprefix(SECRET_PREFIX), validate=True))
            if not one.startswith(SECRET_PREFIX) or not SECRET_BYTES[0] <= size <= SECRET_BYTES[1]:
                raise ValueError("A secret is whsec_ and base64 of 24 to 64 bytes.")

    @override
    def headers_of(self, letter: Letter) -> Mapping[str, str]:
        timestamp_s = int(self.source.clock().timestamp())
        signatures = [
            standard_signature(
                forged(secret) if letter.forge else secret,
                message_id=letter.webhook_id,
                timestamp_s=timestamp_s,
                body=letter.body,
            )
            for secret in self.secrets
        ]
        return {
            "Content-Type": "application/json",
            "User-Agent": "Rappit-Double/1 (standard-webhooks)",
            "webhook-id": letter.webhook_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join(signatures),
        }


class GenericHmacSender(RappitSender):
    """A platform that signs its bodies in a way of its own: hexadecimal HMAC-SHA256, in a header it chose.

    Args:
        url: Where the webhooks go.
        secret: What it signs with.
        signature_header: Where the signature stands.
        prefix: What stands before it.
        id_header: Where the delivery's id stands; none is sent when absent.
        shared: See `RappitSender`.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        signature_header: str = "X-Signature",
        prefix: str = "",
        id_header: str | None = None,
        **shared: Unpack[Shared],
    ) -> None:
        super().__init__(url, **shared)
        self.secret = secret
        self.signature_header = signature_header
        self.prefix = prefix
        self.id_header = id_header

    @override
    def headers_of(self, letter: Letter) -> Mapping[str, str]:
        signature = hex_signature(forged(self.secret) if letter.forge else self.secret, letter.body)
        return {
            "Content-Type": "application/json",
            "User-Agent": "Rappit-Double/1 (generic-hmac)",
            self.signature_header: self.prefix + signature,
            **({} if self.id_header is None else {self.id_header: letter.webhook_id}),
        }


class StandardOrder(SentOrder):
    """An order in the Rappit schema as a small state machine."""

    def __init__(
        self, sender: RappitSender, number: int, basket: Basket, customer: Customer, address: Address | None
    ) -> None:
        super().__init__(sender, "order.created")
        self.id = f"ord_{sender.source.hex(8)}"
        self.number = number
        self.basket = basket
        self.payment_status: PaymentStatus = "paid"
        self.note: str | None = None
        self._channel = sender
        self._customer = customer
        self._address = address

    def edit(
        self,
        quantities: dict[str | int, int] | None = None,
        *,
        remove: Iterable[str | int] = (),
        add: Iterable[NewLine] = (),
    ) -> None:
        """Set lines to new quantities, remove and add lines; see `ShopifyOrder.edit`."""
        edit_basket(self.basket, self._channel.source, quantities=quantities, remove=remove, add=add)
        self.topic = "order.updated"

    def pay(self) -> None:
        """Mark as paid."""
        self.payment_status = "paid"
        self.basket.touch(self._channel.source.clock())
        self.topic = "order.updated"

    def cancel(self) -> None:
        """Cancel: what was paid is refunded, what was not is voided."""
        self.basket.touch(self._channel.source.clock())
        self.basket.cancelled_at = self.basket.updated_at
        self.payment_status = "refunded" if self.payment_status in {"paid", "partially_refunded"} else "voided"
        self.topic = "order.cancelled"

    @override
    def payload(self, topic: str | None = None) -> dict[str, Any]:
        """The message of a topic, as it is now."""
        basket, address = self.basket, self._address
        return {
            "type": topic or self.topic,
            "timestamp": basket.updated_at.isoformat(),
            "data": {
                "id": self.id,
                "number": str(self.number),
                "currency": self._channel.currency,
                "created_at": basket.created_at.isoformat(),
                "updated_at": basket.updated_at.isoformat(),
                "cancelled_at": basket.cancelled_at.isoformat() if basket.cancelled_at else None,
                "payment_status": self.payment_status,
                "customer": {
                    "email": self._customer.email,
                    "name": f"{self._customer.first_name} {self._customer.last_name}",
                },
                "shipping_address": None if address is None else _address(address, self._customer),
                "lines": [_line(line) for line in basket.lines if line.current],
                "total": money(basket.total()),
                "note": self.note,
            },
        }


def _line(line: Line) -> dict[str, Any]:
    return {
        "id": str(line.id),
        "sku": line.sku,
        "name": line.name,
        "quantity": line.current,
        "unit_price": money(line.price),
        "requires_shipping": line.requires_shipping,
    }


def _address(address: Address, customer: Customer) -> dict[str, Any]:
    return {
        "name": address.name,
        "company": address.company,
        "line1": address.line1,
        "line2": address.line2,
        "city": address.city,
        "region": address.region_code or address.region,
        "postal_code": address.postal_code,
        "country_code": address.country_code,
        "phone": address.phone,
        "email": customer.email,
    }
