"""A WooCommerce store: orders in Woo's JSON, delivered as Woo's webhooks are: once, and never again."""

import hmac
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import httpx
from typing_extensions import override

from rappit_doubles.channels.delivery import Letter, Parcel, Sender, SentOrder
from rappit_doubles.channels.signing import body_signature, forged
from rappit_doubles.channels.values import Address, Basket, Customer, Line, NewLine, edit_basket, money
from rappit_doubles.clock import Clock, now_utc

DEFAULT_SOURCE: Final = "https://double-store.example/"
MAX_FAILURES: Final = 6
FIRST_ORDER_ID: Final = 7001
SITE_SALT: Final = b"woo-double"
USER_AGENT: Final = "WooCommerce/10.2.1 Hookshot (WordPress/6.8.3)"

WooStatus = Literal[
    "pending", "processing", "on-hold", "completed", "cancelled", "refunded", "failed", "trash", "checkout-draft"
]


class WebhookDisabledError(Exception):
    """The store disabled its webhook after the 7th failure in a row; a person must switch it on again."""


class WooStore(Sender):
    """One store with one webhook.

    Args:
        url: The webhook's delivery address.
        secret: The webhook's secret.
        source_url: The store's address, as `X-WC-Webhook-Source` says it.
        webhook_id: The webhook's number in the store.
        currency: The store's currency.
        clock: Where the time comes from.
        rng: Where line and product ids come from; pass a seeded one to repeat a run.
        client: An HTTP client to share; it is then not closed here.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        source_url: str = DEFAULT_SOURCE,
        *,
        webhook_id: int = 17,
        currency: str = "EUR",
        clock: Clock = now_utc,
        rng: random.Random | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        super().__init__(url, clock=clock, rng=rng, client=client)
        self.secret = secret
        self.source_url = source_url
        self.webhook_id = webhook_id
        self.currency = currency
        self.failures_in_a_row = 0
        self._next_id = FIRST_ORDER_ID

    @property
    def disabled(self) -> bool:
        """Whether too many deliveries failed in a row."""
        return self.failures_in_a_row > MAX_FAILURES

    @override
    def succeeded(self, status: int) -> bool:
        return 200 <= status <= 302  # noqa: PLR2004 - Woo's own idea of success

    def create_order(
        self,
        lines: Sequence[NewLine],
        customer: Customer | None = None,
        address: Address | None = None,
        *,
        status: WooStatus = "processing",
        note: str = "",
    ) -> "WooOrder":
        """A new order, not yet delivered; Woo's order ids are small and consecutive."""
        order_id = self._next_id
        self._next_id += 1
        order = WooOrder(self, order_id, self.source.basket(lines), customer or Customer(), address or Address())
        order.status = status
        order.note = note
        return order

    async def ping(self) -> httpx.Response:
        """What Woo sends when the webhook is saved: an unsigned form, which wants exactly 200."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": USER_AGENT}
        parcel = Parcel("ping", str(self.webhook_id), f"webhook_id={self.webhook_id}".encode(), lambda: headers)
        return (await self.send(parcel))[0]

    @override
    def written(self, payload: Mapping[str, Any]) -> bytes:
        return woo_json(payload)

    @override
    def new_delivery_id(self) -> str:
        # Of the webhook and the second only, so two orders of one second share it, exactly as in a real store.
        second = int(self.source.clock().timestamp())
        return hmac.new(SITE_SALT, f"{self.webhook_id}{second}".encode(), "md5").hexdigest()

    @override
    def headers_of(self, letter: Letter) -> Mapping[str, str]:
        resource, _, event = letter.topic.partition(".")
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            # Woo speaks HTTP/1.0, which keeps no connection open.
            "Connection": "close",
            "X-WC-Webhook-Source": self.source_url,
            "X-WC-Webhook-Topic": letter.topic,
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": body_signature(forged(self.secret) if letter.forge else self.secret, letter.body),
            "X-WC-Webhook-ID": str(self.webhook_id),
            "X-WC-Webhook-Delivery-ID": letter.webhook_id,
        }

    @override
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
        """Deliver any topic once (or `times` times); nothing is ever retried.

        Raises:
            WebhookDisabledError: Seven deliveries in a row failed before this one.
            httpx.TransportError: No answer came.
        """
        if self.disabled:
            raise WebhookDisabledError(
                f"Webhook {self.webhook_id} is disabled after {self.failures_in_a_row} failures."
            )
        try:
            answers = await super().deliver(
                topic,
                payload,
                times=times,
                concurrently=concurrently,
                webhook_id=webhook_id,
                forge=forge,
                headers=headers,
            )
        except httpx.TransportError:
            self.failures_in_a_row += 1
            raise
        for answer in answers:
            self.failures_in_a_row = 0 if self.succeeded(answer.status_code) else self.failures_in_a_row + 1
        return answers

    def enable(self) -> None:
        """Switch the webhook on again, as a person would in the store's settings."""
        self.failures_in_a_row = 0


class WooOrder(SentOrder):
    """An order as a small state machine. Its payload is built when it is delivered, not when it changed."""

    def __init__(self, store: WooStore, order_id: int, basket: Basket, customer: Customer, address: Address) -> None:
        super().__init__(store, "order.created")
        self.id = order_id
        self.basket = basket
        self.status: WooStatus = "processing"
        self.note = ""
        self._store = store
        self._customer = customer
        self._address = address
        self._key = f"wc_order_{store.source.hex(7)[:13]}"

    def edit(
        self,
        quantities: dict[str | int, int] | None = None,
        *,
        remove: Iterable[str | int] = (),
        add: Iterable[NewLine] = (),
    ) -> None:
        """Set lines to new quantities, remove and add lines; a removed line disappears from the payload."""
        edit_basket(self.basket, self._store.source, quantities=quantities, remove=remove, add=add)
        self.topic = "order.updated"

    def set_status(self, status: WooStatus) -> None:
        """Move to another status; Woo lets a merchant move an order from anywhere to anywhere."""
        self.status = status
        self.basket.touch(self._store.source.clock())
        if status == "cancelled":
            self.basket.cancelled_at = self.basket.updated_at
        self.topic = "order.deleted" if status == "trash" else "order.updated"

    def pay(self) -> None:
        """Payment arrived."""
        self.set_status("processing")

    def complete(self) -> None:
        """Everything was shipped."""
        self.set_status("completed")

    def cancel(self) -> None:
        """Cancel; it arrives as `order.updated` with the status `cancelled`."""
        self.set_status("cancelled")

    def trash(self) -> None:
        """Move to the bin; it arrives as `order.deleted`, whose payload is the id alone."""
        self.set_status("trash")

    def refund(self, quantities: dict[str | int, int], *, reason: str = "") -> None:
        """Refund some of some lines; it arrives as `order.updated` with one more entry in `refunds`.

        The order's own quantities stay as they were ordered, as in a real store.

        Raises:
            LookupError: An unknown SKU, or one that several lines share.
            ValueError: More than was ordered, or nothing.
        """
        amount = Decimal(0)
        refunded: list[dict[str, Any]] = []
        for key, quantity in quantities.items():
            line = self.basket.line(key)
            if not 1 <= quantity <= line.current:
                raise ValueError(f"{quantity} of {line.current} cannot be refunded.")
            amount += line.price * quantity
            refunded.append({"line_item_id": line.id, "sku": line.sku, "quantity": -quantity})
        self.basket.touch(self._store.source.clock())
        self.basket.refunds.append(
            {"id": self._store.source.id(), "reason": reason, "total": f"-{money(amount)}", "line_items": refunded}
        )
        refunded_total = -sum((Decimal(refund["total"]) for refund in self.basket.refunds), Decimal(0))
        if refunded_total >= self.basket.total():
            self.status = "refunded"
        self.topic = "order.updated"

    @override
    def payload(self, topic: str | None = None) -> dict[str, Any]:
        """The body of a topic, as it is now."""
        if (topic or self.topic) == "order.deleted":
            return {"id": self.id}
        return self._order_payload()

    def refund_resource(self, index: int = -1) -> dict[str, Any]:
        """A refund as Woo's REST API tells it, with the negative quantity of each line."""
        refund = self.basket.refunds[index]
        return {
            "id": refund["id"],
            "parent_id": self.id,
            "amount": refund["total"].removeprefix("-"),
            "reason": refund["reason"],
            "line_items": refund["line_items"],
        }

    def _order_payload(self) -> dict[str, Any]:
        basket, address = self.basket, self._address
        is_paid = self.status in {"processing", "completed", "refunded"}
        told = _address(address)
        return {
            "id": self.id,
            "parent_id": 0,
            "number": str(self.id),
            "order_key": self._key,
            "created_via": "checkout",
            "version": "10.2.1",
            "status": self.status,
            "currency": self._store.currency,
            "prices_include_tax": True,
            **_moments("date_created", basket.created_at),
            **_moments("date_modified", basket.updated_at),
            **_moments("date_paid", basket.created_at if is_paid else None),
            **_moments("date_completed", basket.updated_at if self.status == "completed" else None),
            "discount_total": "0.00",
            "shipping_total": "0.00",
            "total": money(basket.total()),
            "total_tax": "0.00",
            "customer_id": 0,
            "customer_note": self.note,
            "billing": {**told, "email": self._customer.email},
            "shipping": told,
            "payment_method": "bacs",
            "payment_method_title": "Bank transfer",
            "transaction_id": "",
            "meta_data": [],
            "line_items": [_line(line) for line in basket.lines if line.current],
            "tax_lines": [],
            "shipping_lines": [],
            "fee_lines": [],
            "coupon_lines": [],
            "refunds": [
                {"id": refund["id"], "reason": refund["reason"], "total": refund["total"]} for refund in basket.refunds
            ],
        }


def woo_json(payload: Mapping[str, Any]) -> bytes:
    """JSON as PHP writes it: ASCII only, with escaped slashes."""
    return json.dumps(payload, separators=(",", ":")).replace("/", "\\/").encode()


def _moments(name: str, moment: datetime | None) -> dict[str, str | None]:
    # Woo tells the store's local time and UTC, both without an offset; this store lives in UTC.
    told = None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}"
    return {name: told, f"{name}_gmt": told}


def _line(line: Line) -> dict[str, Any]:
    total = money(line.price * line.current)
    return {
        "id": line.id,
        "name": line.name,
        "product_id": line.product_id,
        "variation_id": 0,
        "quantity": line.current,
        "tax_class": "",
        "subtotal": total,
        "total": total,
        "total_tax": "0.00",
        "sku": line.sku or "",
        "price": float(line.price),
        "meta_data": [],
    }


def _address(address: Address) -> dict[str, Any]:
    return {
        "first_name": address.first_name,
        "last_name": address.last_name,
        "company": address.company or "",
        "address_1": address.line1,
        "address_2": address.line2 or "",
        "city": address.city,
        "state": address.region_code or address.region or "",
        "postcode": address.postal_code,
        "country": address.country_code,
        "phone": address.phone or "",
    }
