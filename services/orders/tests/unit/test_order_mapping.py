"""An order survives its row."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from channel_cases import CASES, PLACED_AT, Wanted, delivery
from rappit_common.clock import new_id
from rappit_orders.domain.channels import read_delivery
from rappit_orders.domain.commands import ApplyReservation, FollowShipment
from rappit_orders.domain.order import Order
from rappit_orders.domain.values import (
    Allocation,
    Demand,
    OrderContent,
    Reservation,
    ReservationStatus,
    Shipment,
    ShipmentStatus,
    Shortage,
)
from rappit_orders.models import OrderRow
from rappit_orders.repository.mapping import columns_of, order_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
JSON_COLUMNS = {"shipping_address", "lines", "demand", "reservation", "shipments"}


def stored(order):
    columns = {
        name: json.loads(json.dumps(value)) if name in JSON_COLUMNS else value
        for name, value in columns_of(order).items()
    }
    key = {"id": order.id, "channel_id": order.channel_id, "external_order_id": order.external_order_id}
    return order_of(OrderRow(**key, **columns))


def lived():
    order = Order(new_id(), new_id(), "1", OrderContent.unknown("1", NOW), updated_at=NOW)
    yield order
    case = CASES[0]
    body = case.body([Wanted(1, "TEA", 2), Wanted(2, "CUP", 1)], PLACED_AT)
    command = read_delivery(case.provider, delivery(case, case.created, body))
    order.receive(command, actor="shopify", now=NOW)
    yield order
    short = Reservation(
        1, ReservationStatus.BACKORDERED, "insufficient_stock", "Too few.", (), (Shortage("TEA", 2, 1),)
    )
    order.apply_reservation(ApplyReservation(order.id, 1, short), now=NOW)
    yield order
    there = Reservation(2, ReservationStatus.RESERVED, allocations=(Allocation("TEA", "BER", 2),))
    order.apply_reservation(ApplyReservation(order.id, 1, there), now=NOW)
    shipment = Shipment(new_id(), 1, ShipmentStatus.LABELLED, "dhl", "0034", (Demand("TEA", 2),))
    order.follow_shipment(FollowShipment(order.id, shipment), now=NOW)
    yield order
    odd = replace(command.content, total=Decimal("1E+3"), shipping_address=None)
    order.content = odd
    yield order


def test_every_moment_of_its_life_is_kept():
    moments = 0
    for moment in lived():
        moment.happenings.clear()
        assert stored(moment) == moment
        moments += 1
    assert moments == 5


def test_what_was_stored_has_the_same_content_so_that_a_repeat_changes_nothing():
    *_, order = lived()
    assert stored(order).content == order.content
