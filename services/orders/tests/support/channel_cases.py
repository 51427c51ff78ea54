"""One case a channel: how it writes what the shared specification tells it to. A new channel adds one here."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from orders_payloads import (
    shopify_line,
    shopify_order,
    standard_line,
    standard_message,
    woo_line,
    woo_order,
)
from rappit_orders.domain.channels.interface import Delivery

RECEIVED_AT = datetime(2026, 11, 20, 9, 0, 30, tzinfo=UTC)
PLACED_AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """A line of an order, as the specification asks for it."""

    line_id: int
    sku: str | None
    quantity: int


class ShopifyCase:
    provider = "shopify"
    created, updated, cancelled = "orders/create", "orders/updated", "orders/cancelled"
    unknown = "products/update"
    lines_field, quantity_field = "line_items", "current_quantity"

    def body(self, lines: list[Wanted], changed_at: datetime = PLACED_AT, *, cancelled: bool = False) -> dict[str, Any]:
        at = changed_at.astimezone().isoformat()
        told = [shopify_line(w.line_id, w.sku, w.quantity, "2.50") for w in lines]
        return shopify_order(
            9_007_199_254_740_993, line_items=told, updated_at=at, cancelled_at=at if cancelled else None
        )

    def order_of(self, body: dict[str, Any]) -> dict[str, Any]:
        return body

    def without_address(self, body: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in body.items() if key != "shipping_address"}


class WooCase:
    provider = "woocommerce"
    created, updated, cancelled = "order.created", "order.updated", "order.updated"
    unknown = "product.updated"
    lines_field, quantity_field = "line_items", "quantity"

    def body(self, lines: list[Wanted], changed_at: datetime = PLACED_AT, *, cancelled: bool = False) -> dict[str, Any]:
        told = [woo_line(w.line_id, w.sku or "", w.quantity, price=2.5) for w in lines]
        at = changed_at.replace(tzinfo=None).isoformat()
        status = "cancelled" if cancelled else "processing"
        return woo_order(9_007_199_254_740_993, line_items=told, date_modified_gmt=at, status=status)

    def order_of(self, body: dict[str, Any]) -> dict[str, Any]:
        return body

    def without_address(self, body: dict[str, Any]) -> dict[str, Any]:
        # PHP writes an empty object as an empty list.
        return {**body, "shipping": []}


class StandardCase:
    provider = "standard_webhooks"
    created, updated, cancelled = "order.created", "order.updated", "order.cancelled"
    unknown = "invoice.paid"
    lines_field, quantity_field = "lines", "quantity"

    def body(self, lines: list[Wanted], changed_at: datetime = PLACED_AT, *, cancelled: bool = False) -> dict[str, Any]:
        told = [standard_line(str(w.line_id), w.sku, w.quantity, unit_price="2.50") for w in lines]
        at = changed_at.isoformat()
        order_id = "9007199254740993"
        return standard_message(order_id=order_id, lines=told, updated_at=at, cancelled_at=at if cancelled else None)

    def order_of(self, body: dict[str, Any]) -> dict[str, Any]:
        return body["data"]

    def without_address(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "data": {**body["data"], "shipping_address": None}}


class GenericCase(StandardCase):
    provider = "generic_hmac"


Case = ShopifyCase | WooCase | StandardCase
CASES: list[Case] = [ShopifyCase(), WooCase(), StandardCase(), GenericCase()]


def delivery(case: Case, topic: str, body: Any, *, received_after_s: float = 0) -> Delivery:
    """Return a delivery the way a channel names its topic: in its headers, or in the body's `type`."""
    if isinstance(case, StandardCase) and isinstance(body, dict):
        topic, body = "", {**body, "type": topic}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Delivery(topic, raw, RECEIVED_AT + timedelta(seconds=received_after_s))
