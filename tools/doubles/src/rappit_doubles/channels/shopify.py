"""A Shopify shop: orders in Shopify's own JSON, delivered as Shopify's webhooks are."""

import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import httpx
from typing_extensions import override

from rappit_doubles.channels.delivery import NO_RETRIES, Letter, Retries, Sender, SentOrder
from rappit_doubles.channels.shopify_payload import address_json, price_set, shopify_json, stamp
from rappit_doubles.channels.signing import body_signature, forged
from rappit_doubles.channels.values import Address, Basket, Customer, Line, NewLine, edit_basket, money
from rappit_doubles.clock import Clock, now_utc

DEFAULT_DOMAIN: Final = "double-shop.myshopify.com"
API_VERSION: Final = "2026-10"
FIRST_ORDER_NUMBER: Final = 1001

FinancialStatus = Literal["pending", "authorized", "partially_paid", "paid", "partially_refunded", "refunded", "voided"]


class ShopifyShop(Sender):
    """One shop with one webhook subscription.

    Args:
        url: Where the webhooks go.
        secret: The app's secret, which signs them. Assign `secret` anew to rotate it.
        shop_domain: The permanent `*.myshopify.com` domain.
        api_version: What `X-Shopify-API-Version` says.
        currency: The shop's currency.
        clock: Where the time comes from.
        rng: Where ids come from; pass a seeded one to repeat a run.
        client: An HTTP client to share; it is then not closed here.
        retries: `Retries.shopify(scale=…)` to retry as Shopify does; none by default.
    """

    timeout_s = 5.0
    connect_timeout_s = 1.0

    def __init__(  # noqa: PLR0913 - each is a property of a real shop, and all have a default
        self,
        url: str,
        secret: str,
        shop_domain: str = DEFAULT_DOMAIN,
        *,
        api_version: str = API_VERSION,
        currency: str = "EUR",
        clock: Clock = now_utc,
        rng: random.Random | None = None,
        client: httpx.AsyncClient | None = None,
        retries: Retries = NO_RETRIES,
    ) -> None:
        super().__init__(url, clock=clock, rng=rng, client=client, retries=retries)
        self.secret = secret
        self.shop_domain = shop_domain
        self.api_version = api_version
        self.currency = currency
        self._next_number = FIRST_ORDER_NUMBER

    def create_order(
        self,
        lines: Sequence[NewLine],
        customer: Customer | None = None,
        address: Address | None = None,
        *,
        financial_status: FinancialStatus = "paid",
        note: str | None = None,
        ships: bool = True,
    ) -> "ShopifyOrder":
        """A new order, not yet delivered. `ships=False` is a digital one: no address, no shipping."""
        basket = self.source.basket(lines)
        for line in basket.lines:
            line.requires_shipping = ships
        number = self._next_number
        self._next_number += 1
        order = ShopifyOrder(self, number, basket, customer or Customer(), (address or Address()) if ships else None)
        order.financial_status = financial_status
        order.note = note
        return order

    @override
    def written(self, payload: Mapping[str, Any]) -> bytes:
        return shopify_json(payload)

    @override
    def new_delivery_id(self) -> str:
        return self.source.uuid()

    @override
    def headers_of(self, letter: Letter) -> Mapping[str, str]:
        signed_with = forged(self.secret) if letter.forge else self.secret
        return {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": letter.topic,
            "X-Shopify-Shop-Domain": self.shop_domain,
            "X-Shopify-API-Version": self.api_version,
            "X-Shopify-Webhook-Id": letter.webhook_id,
            # Of the merchant's action, which a delivery's retries share, and its sibling topics when told so.
            "X-Shopify-Event-Id": str(uuid.uuid5(uuid.NAMESPACE_URL, letter.webhook_id)),
            "X-Shopify-Triggered-At": letter.triggered_at.isoformat().replace("+00:00", "Z"),
            "X-Shopify-Hmac-Sha256": body_signature(signed_with, letter.body),
        }


class ShopifyOrder(SentOrder):
    """An order as a small state machine; each change moves `updated_at` forward and sets the topic it fires."""

    def __init__(
        self, shop: ShopifyShop, number: int, basket: Basket, customer: Customer, address: Address | None
    ) -> None:
        super().__init__(shop, "orders/create")
        self.id = shop.source.id()
        self.number = number
        self.basket = basket
        self.financial_status: FinancialStatus = "paid"
        self.note: str | None = None
        self._shop = shop
        self._customer = customer
        self._address = address
        self._customer_id = shop.source.id()
        self._cancel_reason: str | None = None
        self._changes: dict[int, int] = {}

    @property
    def name(self) -> str:
        """The number as the merchant sees it, such as `#1001`."""
        return f"#{self.number}"

    def edit(
        self,
        quantities: dict[str | int, int] | None = None,
        *,
        remove: Iterable[str | int] = (),
        add: Iterable[NewLine] = (),
    ) -> None:
        """Set lines to new quantities, remove and add lines; lines are named by SKU or line id.

        Raises:
            LookupError: An unknown SKU, or one that several lines share.
            ValueError: A negative quantity, or a cancelled order.
        """
        self._changes = edit_basket(self.basket, self._shop.source, quantities=quantities, remove=remove, add=add)
        self.topic = "orders/updated"

    def pay(self) -> None:
        """Mark as paid."""
        self.financial_status = "paid"
        self.basket.touch(self._shop.source.clock())
        self.topic = "orders/paid"

    def cancel(self, reason: str = "customer", *, restock: bool = True) -> None:
        """Cancel: what was paid is refunded, what was not is voided; restocked lines have nothing left."""
        self.basket.touch(self._shop.source.clock())
        self.basket.cancelled_at = self.basket.updated_at
        self._cancel_reason = reason
        self.financial_status = "refunded" if self.financial_status in {"paid", "partially_refunded"} else "voided"
        if restock:
            for line in self.basket.lines:
                line.current = 0
        self.topic = "orders/cancelled"

    def refund(self, quantities: dict[str | int, int], *, restock: bool = True, note: str | None = None) -> None:
        """Refund some of some lines; `refunds/create` then carries the refund, `orders/updated` the order.

        Raises:
            LookupError: An unknown SKU, or one that several lines share.
            ValueError: More than is left, or nothing.
        """
        source = self._shop.source
        items: list[dict[str, Any]] = []
        amount = Decimal(0)
        for key, quantity in quantities.items():
            line = self.basket.line(key)
            if not 1 <= quantity <= line.current:
                raise ValueError(f"{quantity} of {line.current} cannot be refunded.")
            line.current -= quantity
            amount += line.price * quantity
            items.append(
                {
                    "id": source.id(),
                    "line_item_id": line.id,
                    "quantity": quantity,
                    "restock_type": "cancel" if restock else "no_restock",
                    "subtotal": float(line.price * quantity),
                    "subtotal_set": price_set(line.price * quantity, self._shop.currency),
                    "line_item": self._line(line),
                }
            )
        self.basket.touch(source.clock())
        self.financial_status = "partially_refunded" if self.basket.total() else "refunded"
        self.basket.refunds.append(
            {
                "id": source.id(),
                "order_id": self.id,
                "created_at": stamp(self.basket.updated_at),
                "processed_at": stamp(self.basket.updated_at),
                "note": note,
                "restock": restock,
                "refund_line_items": items,
                "transactions": [
                    {
                        "id": source.id(),
                        "order_id": self.id,
                        "kind": "refund",
                        "status": "success",
                        "amount": money(amount),
                        "currency": self._shop.currency,
                    }
                ],
                "order_adjustments": [],
            }
        )
        self.topic = "refunds/create"

    @override
    def payload(self, topic: str | None = None) -> dict[str, Any]:
        """The body of a topic: the whole order, the newest refund, or the deltas of `orders/edited`.

        Raises:
            ValueError: `refunds/create` of an order without a refund.
        """
        asked = topic or self.topic
        if asked == "refunds/create":
            if not self.basket.refunds:
                raise ValueError("Nothing was refunded.")
            return self.basket.refunds[-1]
        return self._edit_payload() if asked == "orders/edited" else self._order_payload()

    def _edit_payload(self) -> dict[str, Any]:
        added = [{"id": line_id, "delta": delta} for line_id, delta in self._changes.items() if delta > 0]
        removed = [{"id": line_id, "delta": -delta} for line_id, delta in self._changes.items() if delta < 0]
        return {
            "order_edit": {
                "id": self._shop.source.id(),
                "app_id": None,
                "created_at": stamp(self.basket.updated_at),
                "committed_at": stamp(self.basket.updated_at),
                "notify_customer": False,
                "order_id": self.id,
                "staff_note": "",
                "line_items": {"additions": added, "removals": removed},
                "discounts": {"line_item": {"additions": [], "removals": []}},
                "shipping_lines": {"additions": [], "removals": []},
            }
        }

    def _order_payload(self) -> dict[str, Any]:
        currency, basket = self._shop.currency, self.basket
        ordered = sum((line.price * line.ordered for line in basket.lines), Decimal(0))
        payload: dict[str, Any] = {
            "id": self.id,
            "admin_graphql_api_id": f"gid://shopify/Order/{self.id}",
            "name": self.name,
            "number": self.number - FIRST_ORDER_NUMBER + 1,
            "order_number": self.number,
            "created_at": stamp(basket.created_at),
            "processed_at": stamp(basket.created_at),
            "updated_at": stamp(basket.updated_at),
            "cancelled_at": stamp(basket.cancelled_at) if basket.cancelled_at else None,
            "cancel_reason": self._cancel_reason,
            "closed_at": None,
            "confirmed": True,
            "test": False,
            "currency": currency,
            "presentment_currency": currency,
            "financial_status": self.financial_status,
            "fulfillment_status": self._fulfillment_status(),
            "email": self._customer.email,
            "contact_email": self._customer.email,
            "phone": None,
            "note": self.note,
            "note_attributes": [],
            "tags": "",
            "source_name": "web",
            "taxes_included": True,
            "tax_lines": [],
            "discount_codes": [],
            "subtotal_price": money(ordered),
            "total_line_items_price": money(ordered),
            "total_discounts": "0.00",
            "total_tax": "0.00",
            "total_price": money(ordered),
            "total_price_set": price_set(ordered, currency),
            "current_subtotal_price": money(basket.total()),
            "current_total_price": money(basket.total()),
            "current_total_price_set": price_set(basket.total(), currency),
            "total_weight": 0,
            "customer": {
                "id": self._customer_id,
                "email": self._customer.email,
                "first_name": self._customer.first_name,
                "last_name": self._customer.last_name,
            },
            "line_items": [self._line(line) for line in basket.lines],
            "shipping_lines": [],
            "fulfillments": [],
            "refunds": basket.refunds,
        }
        if self._address is not None:
            payload["shipping_address"] = payload["billing_address"] = address_json(self._address)
        return payload

    def _fulfillment_status(self) -> str | None:
        if self.basket.cancelled_at is not None and not self.basket.total():
            return "restocked"
        fulfilled = sum(line.fulfilled for line in self.basket.lines)
        if not fulfilled:
            return None
        return "fulfilled" if fulfilled >= sum(line.current for line in self.basket.lines) else "partial"

    def _line(self, line: Line) -> dict[str, Any]:
        is_open = self.basket.cancelled_at is None
        return {
            "id": line.id,
            "admin_graphql_api_id": f"gid://shopify/LineItem/{line.id}",
            "sku": line.sku,
            "title": line.name,
            "name": line.name,
            "variant_id": line.variant_id,
            "variant_title": None,
            "product_id": line.product_id,
            "product_exists": True,
            "vendor": "Double",
            "quantity": line.ordered,
            "current_quantity": line.current,
            "fulfillable_quantity": max(line.current - line.fulfilled, 0) if is_open else 0,
            "fulfillment_status": "fulfilled" if line.fulfilled and line.fulfilled >= line.current else None,
            "fulfillment_service": "manual",
            "requires_shipping": line.requires_shipping,
            "gift_card": False,
            "taxable": True,
            "grams": 0,
            "price": money(line.price),
            "price_set": price_set(line.price, self._shop.currency),
            "total_discount": "0.00",
            "properties": [],
            "tax_lines": [],
            "discount_allocations": [],
        }
