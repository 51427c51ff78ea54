"""WooCommerce's REST order (``wc/v3``), as its order webhooks carry it whole."""

from datetime import datetime
from decimal import Decimal

from rappit_orders.domain.channels.fields import MAX_NOTE_CHARACTERS, MAX_SKU_CHARACTERS, Fields
from rappit_orders.domain.channels.interface import Delivery
from rappit_orders.domain.channels.lines import checked_lines
from rappit_orders.domain.commands import Command, Ignored, Rank, ReceiveOrder, RemoveOrder, Stamp
from rappit_orders.domain.values import Address, Customer, Line, OrderContent, PaymentState

WHOLE_ORDER_TOPICS = {
    "order.created": Rank.PLACED,
    "order.updated": Rank.CHANGED,
    "order.restored": Rank.CHANGED,
}
DRAFTS = {"checkout-draft", "auto-draft"}
CANCELLED = {"cancelled", "refunded", "failed", "trash"}

_ADDRESS = {
    "company": "company",
    "line1": "address_1",
    "line2": "address_2",
    "city": "city",
    "region": "state",
    "postal_code": "postcode",
    "country_code": "country",
    "phone": "phone",
}


class WooCommerce:
    """The adapter of WooCommerce; see :class:`~rappit_orders.domain.channels.interface.ChannelAdapter`."""

    def read(self, delivery: Delivery) -> Command:
        """See the interface."""
        if delivery.topic == "order.deleted":
            return _removal(delivery)
        rank = WHOLE_ORDER_TOPICS.get(delivery.topic)
        if rank is None:
            return Ignored(f"topic {delivery.topic or 'without a name'} asks nothing of an order")
        order = Fields.of_body(delivery.body)
        status = order.require("status", order.text)
        if status in DRAFTS:
            return Ignored(f"an order that is {status} is not placed yet")
        stamp = Stamp(_utc(order, "date_modified") or delivery.received_at, rank, delivery.received_at)
        return ReceiveOrder(
            external_order_id=order.require("id", order.identifier),
            content=_content(order, status, stamp.changed_at),
            cancelled=status in CANCELLED,
            stamp=stamp,
            cancellation_stamp=_restored(delivery, stamp) if delivery.topic == "order.restored" else stamp,
        )


def _removal(delivery: Delivery) -> RemoveOrder:
    # The body is the id alone, so the moment is the gateway's.
    order = Fields.of_body(delivery.body)
    stamp = Stamp(delivery.received_at, Rank.CANCELLED, delivery.received_at)
    return RemoveOrder(order.require("id", order.identifier), stamp)


def _restored(delivery: Delivery, stamp: Stamp) -> Stamp:
    # Compared with a removal, of which only the gateway's moment is known, so by the gateway's moment too.
    return Stamp(max(delivery.received_at, stamp.changed_at), Rank.CANCELLED, delivery.received_at)


def _utc(order: Fields, key: str) -> datetime | None:
    # The field without `_gmt` is the store's local time and does not say of which zone.
    return order.time(f"{key}_gmt", naive_is_utc=True)


def _content(order: Fields, status: str, changed_at: datetime) -> OrderContent:
    billing, shipping = order.child("billing"), order.child("shipping")
    email = billing.text("email") if billing else None
    name = (billing.full_name() if billing else None) or (shipping.full_name() if shipping else None)
    return OrderContent(
        number=order.identifier("number") or order.require("id", order.identifier),
        currency=order.require("currency", order.currency),
        total=order.require("total", order.money),
        payment_state=_payment_state(order, status),
        placed_at=_utc(order, "date_created") or changed_at,
        customer=Customer(name=name, email=email),
        shipping_address=_address(shipping, billing, email) if shipping else None,
        lines=checked_lines(order, "line_items", (_line(line) for line in order.require("line_items", order.children))),
        note=order.text("customer_note", MAX_NOTE_CHARACTERS),
    )


def _line(line: Fields) -> Line:
    external_line_id = line.require("id", line.identifier)
    price = line.money("price")
    return Line(
        external_line_id=external_line_id,
        sku=line.identifier("sku", MAX_SKU_CHARACTERS),
        name=line.text("name") or f"Line {external_line_id}",
        quantity=line.require("quantity", line.quantity),
        unit_price=Decimal(0) if price is None else price,
        # Woo does not say which products are virtual; a plugin may.
        requires_shipping=line.flag("requires_shipping") is not False,
    )


def _address(shipping: Fields, billing: Fields | None, email: str | None) -> Address | None:
    # Woo asks for the phone once, beside the billing address.
    phone = billing.text("phone") if billing else None
    return shipping.address(_ADDRESS, name=shipping.full_name(), email=email, phone=phone)


def _payment_state(order: Fields, status: str) -> PaymentState:
    paid = _utc(order, "date_paid") is not None
    if status == "refunded":
        return PaymentState.REFUNDED
    if paid:
        return PaymentState.PARTIALLY_REFUNDED if order.children("refunds") else PaymentState.PAID
    return PaymentState.VOIDED if status in CANCELLED else PaymentState.PENDING
