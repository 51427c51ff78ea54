"""What an order makes of what it is told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
from channel_cases import CASES, PLACED_AT, Wanted, delivery
from hypothesis import given, settings
from hypothesis import strategies as st
from rappit_common.clock import new_id
from rappit_orders.domain.channels import read_delivery
from rappit_orders.domain.commands import ApplyReservation, FollowShipment, Rank, ReceiveOrder, RemoveOrder, Stamp
from rappit_orders.domain.lifecycle import TRANSITIONS, IllegalTransitionError, OrderState, check_transition
from rappit_orders.domain.order import LabelledOrderError, Order, Outcome
from rappit_orders.domain.values import (
    Allocation,
    Customer,
    Demand,
    Line,
    OrderContent,
    PaymentState,
    Reservation,
    ReservationStatus,
    Shipment,
    ShipmentStatus,
    Shortage,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RESERVED, BACKORDERED = ReservationStatus.RESERVED, ReservationStatus.BACKORDERED


def stamp(minute, rank=Rank.CHANGED, received=0):
    return Stamp(PLACED_AT + timedelta(minutes=minute), rank, NOW + timedelta(minutes=received))


def content(*lines, note=None):
    told = tuple(
        Line(str(n), sku, f"Product {sku}", quantity, unit_price=Decimal(1), requires_shipping=True)
        for n, (sku, quantity) in enumerate(lines)
    )
    return OrderContent(
        "#1", "EUR", Decimal(10), PaymentState.PAID, PLACED_AT, Customer("Lena", None), None, told, note=note
    )


def told(minute, *lines, cancelled=False, note=None):
    return ReceiveOrder("1", content(*lines, note=note), cancelled, stamp(minute), stamp(minute))


def removal(minute):
    return RemoveOrder("1", stamp(minute, Rank.CANCELLED))


def unheard_of():
    return Order(new_id(), new_id(), "1", OrderContent.unknown("1", NOW), updated_at=NOW)


def tell(order, command):
    if isinstance(command, RemoveOrder):
        return order.remove(command, actor="shopify", now=NOW)
    return order.receive(command, actor="shopify", now=NOW)


def placed(*lines):
    order = unheard_of()
    tell(order, told(0, *(lines or [("TEA", 2)])))
    return order


def answer(order, version, status, *, order_version=None, allocations=(), **more):
    reservation = Reservation(version, status, allocations=allocations, **more)
    command = ApplyReservation(order.id, order_version or order.order_version, reservation)
    return order.apply_reservation(command, now=NOW)


def ship(order, status, version=1, shipment_id=None, lines=()):
    packed = tuple(Demand(sku, quantity) for sku, quantity in lines)
    shipment = Shipment(shipment_id or order.id, version, status, "fedex", "7949", packed)
    return order.follow_shipment(FollowShipment(order.id, shipment), now=NOW)


def labelled(*lines):
    order = placed(*lines)
    answer(order, 1, RESERVED, allocations=(Allocation("TEA", "BER", 2),))
    ship(order, ShipmentStatus.LABELLED)
    return order


def kinds(order):
    return [happening.kind for happening in order.happenings]


class TestDeliveries:
    def test_the_first_makes_version_one(self):
        order = placed(("TEA", 2), ("CUP", 1), ("TEA", 1))
        assert (order.state, order.order_version, order.state_version) == (OrderState.RECEIVED, 1, 1)
        assert order.demand == (Demand("CUP", 1), Demand("TEA", 3))

    def test_the_same_content_makes_no_version(self):
        order = placed()
        assert tell(order, told(1, ("TEA", 2))) is Outcome.UNCHANGED
        assert (order.order_version, order.state_version, kinds(order)[-1]) == (1, 1, "delivery_unchanged")

    def test_an_older_delivery_is_superseded_and_changes_nothing(self):
        order = unheard_of()
        tell(order, told(5, ("TEA", 5)))
        assert tell(order, told(4, ("TEA", 2))) is Outcome.SUPERSEDED
        assert (order.demand, order.order_version, kinds(order)[-1]) == ((Demand("TEA", 5),), 1, "delivery_superseded")

    def test_an_edit_asks_for_its_stock_anew(self):
        order = placed()
        answer(order, 1, RESERVED, allocations=(Allocation("TEA", "BER", 2),))
        tell(order, told(1, ("TEA", 5)))
        assert (order.state, order.order_version, order.demand) == (OrderState.RECEIVED, 2, (Demand("TEA", 5),))
        assert order.reservation.allocations == (Allocation("TEA", "BER", 2),)
        assert "TEA 2 → 5" in next(h.message for h in order.happenings if h.kind == "order_changed")

    def test_a_change_that_touches_no_stock_keeps_the_reservation(self):
        order = placed()
        answer(order, 1, RESERVED)
        tell(order, told(1, ("TEA", 2), note="leave at the door"))
        assert (order.state, order.order_version) == (OrderState.RESERVED, 2)

    def test_a_cancelled_order_asks_for_nothing_and_stays_cancelled(self):
        order = placed()
        tell(order, told(5, ("TEA", 2), cancelled=True))
        tell(order, told(4, ("TEA", 9)))
        assert (order.state, order.demand, order.order_version) == (OrderState.CANCELLED, (), 2)

    def test_a_removal_before_anything_else_is_remembered(self):
        order = unheard_of()
        tell(order, removal(5))
        assert tell(order, told(0, ("TEA", 2))) is Outcome.APPLIED
        assert (order.state, order.demand, order.content.number) == (OrderState.CANCELLED, (), "#1")

    def test_what_the_channel_restores_is_asked_for_again(self):
        order = placed()
        tell(order, told(1, ("TEA", 2), cancelled=True))
        answer(order, 1, ReservationStatus.RELEASED)
        tell(order, told(2, ("TEA", 2)))
        assert (order.state, order.demand, order.order_version) == (OrderState.RECEIVED, (Demand("TEA", 2),), 3)

    def test_a_line_without_sku_holds_the_whole_order_until_it_has_one(self):
        order = placed(("TEA", 2), (None, 1))
        assert (order.state, order.demand, order.hold.reason) == (OrderState.ON_HOLD, (), "missing_sku")
        assert '"Product None" (1)' in order.hold.message
        answer(order, 1, ReservationStatus.RELEASED)
        assert order.state is OrderState.ON_HOLD
        tell(order, told(1, ("TEA", 2), ("CUP", 1)))
        assert (order.state, order.hold, len(order.demand)) == (OrderState.RECEIVED, None, 2)


class TestReservations:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (RESERVED, OrderState.RESERVED),
            (BACKORDERED, OrderState.BACKORDERED),
            (ReservationStatus.ON_HOLD, OrderState.ON_HOLD),
            (ReservationStatus.RELEASED, OrderState.RECEIVED),
        ],
    )
    def test_an_answer_moves_the_order(self, status, state):
        order = placed()
        assert answer(order, 1, status) is Outcome.APPLIED
        assert order.state is state

    def test_an_answer_to_another_version_is_not_listened_to(self):
        order = placed()
        tell(order, told(1, ("TEA", 5)))
        assert answer(order, 1, RESERVED, order_version=1) is Outcome.SUPERSEDED
        assert order.state is OrderState.RECEIVED

    def test_an_older_answer_is_not_listened_to(self):
        order = placed()
        answer(order, 2, RESERVED)
        assert answer(order, 2, BACKORDERED) is Outcome.SUPERSEDED
        assert answer(order, 1, BACKORDERED) is Outcome.SUPERSEDED
        assert order.state is OrderState.RESERVED

    def test_a_shortage_is_told_exactly_and_ends_when_stock_comes(self):
        order = placed()
        said = "Insufficient stock: SKU TEA needs 2, 1 available."
        shortages = (Shortage("TEA", 2, 1),)
        answer(order, 1, BACKORDERED, reason="insufficient_stock", message=said, shortages=shortages)
        assert (order.hold.reason, order.hold.message) == ("insufficient_stock", said)
        answer(order, 2, RESERVED)
        assert (order.state, order.hold, order.reservation.shortages) == (OrderState.RESERVED, None, ())

    def test_an_order_that_has_a_part_waits_and_tells_where_the_part_lies(self):
        order = placed()
        said = "Reserved in part: SKU TEA needs 2, 1 available."
        part = (Allocation("TEA", "BER", 1),)
        before = order.state_version
        answer(
            order,
            1,
            BACKORDERED,
            reason="insufficient_stock",
            message=said,
            allocations=part,
            shortages=(Shortage("TEA", 2, 1),),
        )
        assert (order.state, order.reservation.allocations) == (OrderState.BACKORDERED, part)
        assert (order.hold.message, order.state_version) == (said, before + 1)
        answer(order, 2, RESERVED, allocations=(Allocation("TEA", "BER", 2),))
        assert (order.state, order.hold) == (OrderState.RESERVED, None)

    def test_an_order_whose_units_a_person_took_away_waits_and_says_so(self):
        order = placed()
        answer(order, 1, RESERVED, allocations=(Allocation("TEA", "BER", 2),))
        said = "Released by anna@example.com: promised to a shop. It waits until it is resumed, or changed."
        answer(order, 2, BACKORDERED, message=said)
        assert (order.state, order.reservation.allocations) == (OrderState.BACKORDERED, ())
        assert (order.hold.reason, order.hold.message) == ("backordered", said)

    def test_goods_that_lie_elsewhere_are_told_though_the_state_is_the_same(self):
        order = placed()
        answer(order, 1, RESERVED, allocations=(Allocation("TEA", "BER", 2),))
        before = order.state_version
        answer(order, 2, RESERVED, allocations=(Allocation("TEA", "LYS", 2),))
        assert (order.state_version, order.order_version) == (before + 1, 1)


class TestShipments:
    def test_a_label_makes_it_ready_and_voiding_the_last_takes_it_back(self):
        order = labelled()
        assert order.state is OrderState.READY_TO_SHIP
        ship(order, ShipmentStatus.LABELLED, shipment_id=new_id())
        ship(order, ShipmentStatus.VOIDED, version=2)
        assert order.state is OrderState.READY_TO_SHIP
        [other] = order.labelled
        ship(order, ShipmentStatus.VOIDED, version=2, shipment_id=other.shipment_id)
        assert order.state is OrderState.RESERVED

    def test_an_older_word_of_a_shipment_is_not_listened_to(self):
        order = placed()
        ship(order, ShipmentStatus.VOIDED, version=2)
        assert ship(order, ShipmentStatus.LABELLED, version=1) is Outcome.SUPERSEDED
        assert order.labelled == ()

    def test_an_edit_after_the_label_is_a_question_and_moves_no_stock(self):
        order = labelled()
        tell(order, told(1, ("TEA", 5)))
        assert (order.state, order.demand) == (OrderState.READY_TO_SHIP, (Demand("TEA", 2),))
        assert order.hold.reason == "changed_after_label"
        ship(order, ShipmentStatus.VOIDED, version=2)
        assert (order.state, order.demand, order.hold) == (OrderState.RECEIVED, (Demand("TEA", 5),), None)

    @pytest.mark.parametrize(
        ("wanted", "reason", "said"),
        [
            ([("TEA", 1)], "changed_after_label", "(TEA: 2 in the parcel, 1 wanted)"),
            ([("CUP", 2)], "changed_after_label", "(TEA: 2 in the parcel, 0 wanted; CUP: 0 in the parcel, 2 wanted)"),
            ([("TEA", 5)], "partly_labelled", "(TEA: 2 in the parcel, 5 wanted)"),
            ([("tea ", 1), ("TEA", 1)], None, ""),
        ],
    )
    def test_a_parcel_bought_while_the_order_was_changed_is_told_apart(self, wanted, reason, said):
        order = placed()
        tell(order, told(1, *wanted))
        answer(order, 1, RESERVED)
        ship(order, ShipmentStatus.LABELLED, lines=[("TEA", 2)])
        assert order.state is OrderState.READY_TO_SHIP
        assert (order.hold.reason if order.hold else None) == reason
        assert said in (order.hold.message if order.hold else "")
        ship(order, ShipmentStatus.VOIDED, version=2, lines=[("TEA", 2)])
        assert (order.state, order.hold) == (OrderState.RESERVED, None)

    def test_the_second_label_of_a_split_order_ends_the_hold(self):
        order = placed(("TEA", 2), ("CUP", 1))
        answer(order, 1, RESERVED)
        ship(order, ShipmentStatus.LABELLED, lines=[("TEA", 2)])
        assert order.hold.reason == "partly_labelled"
        ship(order, ShipmentStatus.LABELLED, shipment_id=new_id(), lines=[("CUP", 1)])
        assert (order.state, order.hold) == (OrderState.READY_TO_SHIP, None)

    def test_a_cancellation_after_the_label_waits_for_the_void_and_then_releases(self):
        order = labelled()
        tell(order, told(1, ("TEA", 2), cancelled=True))
        assert (order.state, order.demand) == (OrderState.READY_TO_SHIP, (Demand("TEA", 2),))
        assert order.hold.reason == "cancelled_after_label"
        ship(order, ShipmentStatus.VOIDED, version=2)
        assert (order.state, order.demand, order.hold) == (OrderState.CANCELLED, (), None)

    def test_a_label_of_a_cancelled_order_does_not_bring_it_back(self):
        order = placed()
        tell(order, told(1, ("TEA", 2), cancelled=True))
        ship(order, ShipmentStatus.LABELLED)
        assert (order.state, order.demand, order.hold.reason) == (OrderState.CANCELLED, (), "cancelled_after_label")


class TestMerchantCancel:
    def test_it_empties_the_demand_and_no_word_of_the_channel_undoes_it(self):
        order = placed()
        order.cancel("out of stock for good", actor="lena@example.com", now=NOW)
        tell(order, told(9, ("TEA", 7)))
        assert (order.state, order.demand) == (OrderState.CANCELLED, ())

    def test_again_changes_nothing(self):
        order = placed()
        order.cancel("twice", actor="lena@example.com", now=NOW)
        versions = order.order_version, order.state_version
        assert order.cancel("twice", actor="lena@example.com", now=NOW) is Outcome.UNCHANGED
        assert (order.order_version, order.state_version) == versions

    def test_after_the_label_it_is_refused_with_what_to_do(self):
        order = labelled()
        with pytest.raises(LabelledOrderError, match=r"fedex 7949.*Void the shipment first"):
            order.cancel("too late", actor="lena@example.com", now=NOW)
        assert order.state is OrderState.READY_TO_SHIP


def test_an_illegal_transition_is_refused_with_both_states_named():
    with pytest.raises(IllegalTransitionError, match="cancelled cannot become reserved") as refused:
        check_transition(OrderState.CANCELLED, OrderState.RESERVED)
    assert refused.value.fields == {"state": "cancelled", "asked": "reserved"}


def test_every_state_can_be_left_and_none_leads_to_itself():
    assert set(TRANSITIONS) == set(OrderState)
    assert all(after and state not in after for state, after in TRANSITIONS.items())


def ended(order):
    return order.state, order.demand, order.content, order.cancelled, order.hold


LINES = st.lists(st.tuples(st.sampled_from(["TEA", "CUP", "PEN", None]), st.integers(0, 5)), min_size=1, max_size=4)


@st.composite
def histories(draw):
    """Deliveries of one order in the order they happened; some happen in one moment, as with a channel's seconds."""
    moments = sorted(draw(st.lists(st.integers(0, 6), min_size=1, max_size=7)))
    history = []
    for place, minute in enumerate(moments):
        at = stamp(minute, Rank.CHANGED, received=place)
        if draw(st.integers(0, 4)) == 0:
            history.append(RemoveOrder("1", Stamp(at.changed_at, Rank.CANCELLED, at.received_at)))
        else:
            lines = draw(LINES)
            history.append(ReceiveOrder("1", content(*lines), draw(st.booleans()), at, at))
    return history


@settings(max_examples=400, deadline=None)
@given(data=st.data(), history=histories())
def test_any_interleaving_and_duplication_ends_as_the_ordered_run(data, history):
    newest_first = sorted(history, key=lambda command: command.stamp)
    ordered = unheard_of()
    for command in newest_first:
        tell(ordered, command)
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=6))
    shuffled = unheard_of()
    for command in data.draw(st.permutations(repeated)):
        tell(shuffled, command)
        assert shuffled.order_version >= 1
    assert ended(shuffled) == ended(ordered)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.provider)
def test_every_order_of_a_channels_deliveries_ends_the_same(case):
    one, two = [Wanted(1, "TEA", 2), Wanted(2, "CUP", 1)], [Wanted(1, "TEA", 5)]
    later = PLACED_AT + timedelta(seconds=1)
    deliveries = [
        delivery(case, case.created, case.body(one)),
        delivery(case, case.updated, case.body(one), received_after_s=1),
        delivery(case, case.updated, case.body(two, later), received_after_s=2),
        delivery(
            case, case.cancelled, case.body(two, later + timedelta(seconds=1), cancelled=True), received_after_s=3
        ),
    ]
    commands = [read_delivery(case.provider, told) for told in deliveries]
    for length, state, demand in ((3, OrderState.RECEIVED, (Demand("TEA", 5),)), (4, OrderState.CANCELLED, ())):
        for shuffled in permutations(commands[:length]):
            order = unheard_of()
            for command in shuffled:
                tell(order, command)
            assert (order.state, order.demand) == (state, demand)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.integers(0, 9), max_size=25))
def test_no_story_leads_to_a_transition_that_is_not_drawn(steps):
    """Everything at once: whatever is told, each step either changes the order legally or is a named refusal."""
    order = placed()
    versions = [order.state_version]
    for place, step in enumerate(steps, start=1):
        match step:
            case 0 | 1 | 2:
                tell(order, told(place, ("TEA", step), cancelled=step == 0))
            case 3:
                tell(order, told(place, (None, 1)))
            case 4 | 5 | 6 | 7:
                answer(order, place, list(ReservationStatus)[step - 4])
            case 8:
                ship(order, ShipmentStatus.LABELLED, version=place)
            case _:
                ship(order, ShipmentStatus.VOIDED, version=place)
        versions.append(order.state_version)
        assert (order.state is OrderState.CANCELLED) <= (order.demand == ())
        assert (order.state is OrderState.READY_TO_SHIP) <= bool(order.labelled)
    assert versions == sorted(versions)
