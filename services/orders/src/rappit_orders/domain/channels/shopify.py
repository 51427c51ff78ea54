"""Shopify's Admin API order, as its order webhooks carry it whole."""

from datetime import datetime

from rappit_orders.domain.channels.fields import MAX_NOTE_CHARACTERS, MAX_SKU_CHARACTERS, Fields
from rappit_orders.domain.channels.interface import Delivery
from rappit_orders.domain.channels.lines import checked_lines
from rappit_orders.domain.commands import Command, Ignored, Rank, ReceiveOrder, Stamp
from rappit_orders.domain.values import Address, Customer, Line, OrderContent, PaymentState

WHOLE_ORDER_TOPICS = {
    "orders/create": Rank.PLACED,
    "orders/updated": Rank.CHANGED,
    "orders/paid": Rank.CHANGED,
    "orders/cancelled": Rank.CANCELLED,
}
# They tell a part of what `orders/updated` tells whole, with its own `updated_at`, for the same change.
PARTIAL_TOPICS = {"orders/edited", "refunds/create"}

_ADDRESS = {
    "company": "company",
    "line1": "address1",
    "line2": "address2",
    "city": "city",
    "postal_code": "zip",
    "country_code": "country_code",
    "phone": "phone",
}


class Shopify:
    """The adapter of Shopify; see :class:`~rappit_orders.domain.channels.interface.ChannelAdapter`."""

    def read(self, delivery: Delivery) -> Command:
        """See the interface."""
        if delivery.topic in PARTIAL_TOPICS:
            return Ignored(f"{delivery.topic} is told whole by orders/updated")
        rank = WHOLE_ORDER_TOPICS.get(delivery.topic)
        if rank is None:
            return Ignored(f"topic {delivery.topic or 'without a name'} asks nothing of an order")
        order = Fields.of_body(delivery.body)
        stamp = Stamp(order.time("updated_at") or delivery.received_at, rank, delivery.received_at)
        return ReceiveOrder(
            external_order_id=order.require("id", order.identifier),
            content=_content(order, stamp.changed_at),
            cancelled=rank is Rank.CANCELLED or order.time("cancelled_at") is not None,
            stamp=stamp,
            cancellation_stamp=stamp,
        )


def _content(order: Fields, changed_at: datetime) -> OrderContent:
    customer = _customer(order)
    total = order.money("current_total_price")
    return OrderContent(
        number=order.text("name") or order.identifier("order_number") or order.require("id", order.identifier),
        currency=order.require("currency", order.currency),
        total=order.require("total_price", order.money) if total is None else total,
        payment_state=_payment_state(order),
        placed_at=order.time("created_at") or changed_at,
        customer=customer,
        shipping_address=_address(order, customer),
        lines=checked_lines(order, "line_items", (_line(line) for line in order.require("line_items", order.children))),
        note=order.text("note", MAX_NOTE_CHARACTERS),
    )


def _line(line: Fields) -> Line:
    # `quantity` stays as it was ordered; `current_quantity` is what is left after edits, removals and refunds.
    current = line.quantity("current_quantity")
    gift_card = line.flag("gift_card") is True
    external_line_id = line.require("id", line.identifier)
    return Line(
        external_line_id=external_line_id,
        sku=line.identifier("sku", MAX_SKU_CHARACTERS),
        name=line.text("name") or line.text("title") or f"Line {external_line_id}",
        quantity=line.require("quantity", line.quantity) if current is None else current,
        unit_price=line.require("price", line.money),
        requires_shipping=not gift_card and line.flag("requires_shipping") is not False,
    )


def _customer(order: Fields) -> Customer:
    person = order.child("customer")
    places = [place for key in ("shipping_address", "billing_address") if (place := order.child(key))]
    names = [person.full_name() if person else None, *(place.text("name") or place.full_name() for place in places)]
    emails = [order.text("email"), order.text("contact_email"), person.text("email") if person else None]
    return Customer(name=next(filter(None, names), None), email=next(filter(None, emails), None))


def _address(order: Fields, customer: Customer) -> Address | None:
    place = order.child("shipping_address")
    if place is None:
        return None
    region = "province_code" if place.text("province_code") else "province"
    return place.address(
        {**_ADDRESS, "region": region}, name=place.text("name") or place.full_name(), email=customer.email
    )


def _payment_state(order: Fields) -> PaymentState:
    told = order.text("financial_status")
    # A state Shopify adds one day must not lose an order: it counts as not paid until we know it.
    return PaymentState(told) if told in set(PaymentState) else PaymentState.PENDING
