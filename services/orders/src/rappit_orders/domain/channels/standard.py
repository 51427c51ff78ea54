"""The Rappit order schema, for whoever has no adapter of its own: Standard Webhooks, generic HMAC, and the API."""

from datetime import datetime
from uuid import UUID, uuid5

from rappit_orders.domain.channels.fields import MAX_NOTE_CHARACTERS, MAX_SKU_CHARACTERS, Fields, InvalidDeliveryError
from rappit_orders.domain.channels.interface import Delivery
from rappit_orders.domain.channels.lines import checked_lines
from rappit_orders.domain.commands import Command, Ignored, Rank, ReceiveOrder, Stamp
from rappit_orders.domain.values import Address, Customer, Line, OrderContent, PaymentState

TYPES = {"order.created": Rank.PLACED, "order.updated": Rank.CHANGED, "order.cancelled": Rank.CANCELLED}

_ADDRESS = {
    "company": "company",
    "line1": "line1",
    "line2": "line2",
    "city": "city",
    "region": "region",
    "postal_code": "postal_code",
    "country_code": "country_code",
    "phone": "phone",
}


class StandardWebhooks:
    """The adapter of the Rappit order schema; see :class:`~rappit_orders.domain.channels.interface.ChannelAdapter`."""

    def read(self, delivery: Delivery) -> Command:
        """See the interface. The topic is the body's ``type``."""
        message = Fields.of_body(delivery.body)
        kind = message.require("type", message.text)
        rank = TYPES.get(kind)
        if rank is None:
            return Ignored(f"type {kind} asks nothing of an order")
        order = message.require("data", message.child)
        changed_at = order.time("updated_at") or message.time("timestamp") or delivery.received_at
        stamp = Stamp(changed_at, rank, delivery.received_at)
        person = order.child("customer")
        customer = Customer(person.text("name"), person.text("email")) if person else Customer(None, None)
        external_order_id = order.require("id", order.identifier)
        content = OrderContent(
            number=order.identifier("number") or external_order_id,
            currency=order.require("currency", order.currency),
            total=order.require("total", order.money),
            payment_state=_payment_state(order),
            placed_at=order.time("created_at") or changed_at,
            customer=customer,
            shipping_address=_address(order, customer),
            lines=checked_lines(order, "lines", (_line(line) for line in order.require("lines", order.children))),
            note=order.text("note", MAX_NOTE_CHARACTERS),
        )
        cancelled = rank is Rank.CANCELLED or order.time("cancelled_at") is not None
        return ReceiveOrder(external_order_id, content, cancelled, stamp, stamp)


def read_order(body: bytes, received_at: datetime) -> ReceiveOrder:
    """Return what a program asks of an order by the API: the same schema, by the same reader, with one difference.

    Raises:
        InvalidDeliveryError: The body is not of the schema, or its ``type`` asks nothing of an order: a channel sends
            whatever it was set to and hears no answer, but here somebody waits for one.
    """
    command = StandardWebhooks().read(Delivery("", body, received_at))
    if isinstance(command, ReceiveOrder):
        return command
    raise InvalidDeliveryError(f"type is none of {', '.join(TYPES)}.", field="type")


def api_channel_of(organization_id: UUID) -> UUID:
    """Return the channel that an organization's orders by the API belong to: no shop, and the same for ever."""
    return uuid5(organization_id, "rappit.orders.api")


def _line(line: Fields) -> Line:
    external_line_id = line.require("id", line.identifier)
    return Line(
        external_line_id=external_line_id,
        sku=line.identifier("sku", MAX_SKU_CHARACTERS),
        name=line.text("name") or f"Line {external_line_id}",
        quantity=line.require("quantity", line.quantity),
        unit_price=line.require("unit_price", line.money),
        requires_shipping=line.flag("requires_shipping") is not False,
    )


def _address(order: Fields, customer: Customer) -> Address | None:
    place = order.child("shipping_address")
    if place is None:
        return None
    email = place.text("email") or customer.email
    return place.address(_ADDRESS, name=place.text("name") or customer.name, email=email)


def _payment_state(order: Fields) -> PaymentState:
    told = order.text("payment_status")
    if told is None:
        return PaymentState.PENDING
    if told not in set(PaymentState):
        # The schema is ours, so an unknown word is a mistake, and saying so helps its writer.
        raise order.refuse("payment_status", f"is none of {', '.join(PaymentState)}")
    return PaymentState(told)
