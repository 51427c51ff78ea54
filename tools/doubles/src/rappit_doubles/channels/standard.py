"""Any other channel: the Rappit order schema over Standard Webhooks.

The schema is written down in the README beside this package; the orders service reads the same text.
"""

import base64
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import httpx

from rappit_doubles.channels.delivery import NO_RETRIES, Parcel, Retries, Sender
from rappit_doubles.channels.signing import SECRET_PREFIX, forged, standard_signature
from rappit_doubles.channels.values import Address, Basket, Customer, Line, NewLine, edit_basket, money
from rappit_doubles.clock import Clock, now_utc

SECRET_BYTES: Final = (24, 64)
FIRST_ORDER_NUMBER: Final = 5001

PaymentStatus = Literal["pending", "authorized", "paid", "refunded", "voided", "partially_paid", "partially_refunded"]


class StandardWebhooksSender(Sender):
    """A sender of Standard Webhooks.

    Args:
        url: Where the webhooks go.
        secret: `whsec_` and base64 of 24 to 64 bytes.
        more_secrets: Further secrets to sign with as well, as a sender does while it rotates.
        currency: The currency of its orders.
        clock: Where the time comes from; the signature's timestamp is its second.
        rng: Where ids come from; pass a seeded one to repeat a run.
        client: An HTTP client to share; it is then not closed here.
        retries: When to try again; never by default.

    Raises:
        ValueError: A secret is not of that form.
    """

    timeout_s = 15.0

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        more_secrets: Sequence[str] = (),
        currency: str = "EUR",
        clock: Clock = now_utc,
        rng: random.Random | None = None,
        client: httpx.AsyncClient | None = None,
        retries: Retries = NO_RETRIES,
    ) -> None:
        super().__init__(url, clock=clock, rng=rng, client=client, retries=retries)
        self.secrets = [secret, *more_secrets]
        for one in self.secrets:
            size = len(base64.b64decode(one.removeprefix(SECRET_PREFIX), validate=True))
            if not one.startswith(SECRET_PREFIX) or not SECRET_BYTES[0] <= size <= SECRET_BYTES[1]:
                raise ValueError("A secret is whsec_ and base64 of 24 to 64 bytes.")
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

    async def deliver(
        self,
        topic: str,
        payload: Mapping[str, Any] | bytes,
        *,
        times: int = 1,
        concurrently: bool = False,
        webhook_id: str | None = None,
        forge: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> list[httpx.Response]:
        """Deliver any payload; each attempt is signed anew with the second it is sent in, under one id."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload, ensure_ascii=False).encode()
        message_id = webhook_id or f"msg_{self.source.hex(14)}"
        secrets = [forged(secret) for secret in self.secrets] if forge else self.secrets

        def told() -> dict[str, str]:
            timestamp_s = int(self.source.clock().timestamp())
            signatures = [
                standard_signature(secret, message_id=message_id, timestamp_s=timestamp_s, body=body)
                for secret in secrets
            ]
            return {
                "Content-Type": "application/json",
                "User-Agent": "Rappit-Double/1 (standard-webhooks)",
                "webhook-id": message_id,
                "webhook-timestamp": str(timestamp_s),
                "webhook-signature": " ".join(signatures),
                **(headers or {}),
            }

        return await self.send(Parcel(topic, message_id, body, told), times=times, concurrently=concurrently)


class StandardOrder:
    """An order in the Rappit schema as a small state machine."""

    def __init__(
        self, sender: StandardWebhooksSender, number: int, basket: Basket, customer: Customer, address: Address | None
    ) -> None:
        self.id = f"ord_{sender.source.hex(8)}"
        self.number = number
        self.basket = basket
        self.payment_status: PaymentStatus = "paid"
        self.note: str | None = None
        self.topic = "order.created"
        self._sender = sender
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
        edit_basket(self.basket, self._sender.source, quantities=quantities, remove=remove, add=add)
        self.topic = "order.updated"

    def pay(self) -> None:
        """Mark as paid."""
        self.payment_status = "paid"
        self.basket.touch(self._sender.source.clock())
        self.topic = "order.updated"

    def cancel(self) -> None:
        """Cancel: what was paid is refunded, what was not is voided."""
        self.basket.touch(self._sender.source.clock())
        self.basket.cancelled_at = self.basket.updated_at
        self.payment_status = "refunded" if self.payment_status in {"paid", "partially_refunded"} else "voided"
        self.topic = "order.cancelled"

    def payload(self, topic: str | None = None) -> dict[str, Any]:
        """The message of a topic, as it is now."""
        basket, address = self.basket, self._address
        return {
            "type": topic or self.topic,
            "timestamp": basket.updated_at.isoformat(),
            "data": {
                "id": self.id,
                "number": str(self.number),
                "currency": self._sender.currency,
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

    async def deliver(
        self,
        topic: str | None = None,
        *,
        times: int = 1,
        concurrently: bool = False,
        webhook_id: str | None = None,
        forge: bool = False,
        body_override: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[httpx.Response]:
        """Deliver the order as it is now; see `ShopifyOrder.deliver`."""
        asked = topic or self.topic
        return await self._sender.deliver(
            asked,
            self.payload(asked) if body_override is None else body_override,
            times=times,
            concurrently=concurrently,
            webhook_id=webhook_id,
            forge=forge,
            headers=headers,
        )


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
