"""Stock kept for carts and by hand: all or nothing, and never free on its way to an order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError
from rappit_inventory.domain.demands import Demand, DemandLine, DemandStatus, Held, settle
from rappit_inventory.domain.errors import DocumentClosedError, InsufficientStockError
from rappit_inventory.domain.holds import (
    PROMISE_KEPT,
    Hold,
    HoldKind,
    HoldState,
    extend,
    find_units,
    give_up,
    hand_over,
    hold_units,
    promise,
)
from rappit_inventory.domain.stock import Level, MovementKind, Shelves, Source
from rappit_inventory.schemas.holds import HoldCreate

NOW = datetime(2026, 3, 1, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)
BER, LYS = UUID(int=10), UUID(int=11)
ORDER = UUID(int=20)
SOURCE = Source("test", UUID(int=99), "tester")
CODES = {A: "TEE-M", B: "TEE-L"}


def shelves(*more, **levels):
    there = {"ber": 1, "lys": 0, **levels}
    return Shelves(
        [Level(A, BER, "TEE-M", "BER", 1, there["ber"], 0), Level(A, LYS, "TEE-M", "LYS", 2, there["lys"], 0), *more]
    )


def hold(units, **more):
    return Hold(UUID(int=30), HoldKind.CART, units, "tester", NOW, expires_at=NOW + timedelta(minutes=15), **more)


def test_refusal_says_what_is_available_of_each_sku():
    places = shelves(Level(B, BER, "TEE-L", "BER", 1, 1, 0), lys=1)
    with pytest.raises(InsufficientStockError) as refused:
        find_units({A: 3, B: 2}, CODES, places, warehouse_id=None)
    assert refused.value.message == (
        "Insufficient stock for SKU TEE-M: 3 requested, 1 available in BER and 1 available in LYS."
        " Insufficient stock for SKU TEE-L: 2 requested, 1 available in BER."
    )
    assert refused.value.fields["shortages"] == [
        {"sku": "TEE-M", "requested": 3, "available": 2},
        {"sku": "TEE-L", "requested": 2, "available": 1},
    ]
    with pytest.raises(InsufficientStockError, match="1 requested, 0 available"):
        find_units({A: 1}, CODES, shelves(ber=0), warehouse_id=None)


def test_named_warehouse_alone_gives():
    places = shelves(ber=5, lys=2)
    assert find_units({A: 2}, CODES, places, warehouse_id=LYS) == {(A, LYS): 2}
    with pytest.raises(InsufficientStockError, match=r"3 requested, 2 available in LYS\.$"):
        find_units({A: 3}, CODES, places, warehouse_id=LYS)


def test_inactive_warehouse_gives_nothing():
    places = Shelves([Level(A, BER, "TEE-M", "BER", 1, 9, 0, active=False)])
    with pytest.raises(InsufficientStockError):
        find_units({A: 1}, CODES, places, warehouse_id=BER)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [(HoldState.RELEASED, MovementKind.HOLD_RELEASE), (HoldState.EXPIRED, MovementKind.HOLD_EXPIRE)],
)
def test_held_units_are_reserved_until_the_hold_ends(ending, kind):
    places, held = shelves(ber=5), hold({(A, BER): 3})
    hold_units(held, places, SOURCE)
    assert places.available(A) == 2
    give_up(held, ending, places, SOURCE, now=NOW)
    assert (places.available(A), held.state, held.ended_at, held.is_live) == (5, ending, NOW, False)
    assert [move.kind for move in places.movements] == [MovementKind.HOLD, kind]


def converted(places, held, demand):
    hold_units(held, places, SOURCE)
    hand_over(held, demand, places, SOURCE, SOURCE, now=NOW)
    settle(demand, places, SOURCE, now=NOW)
    return demand


def test_converted_units_stay_where_they_lie_even_if_the_warehouse_was_closed():
    places = shelves(ber=5, lys=2)
    demand = Demand(ORDER, 1, lines=[DemandLine("TEE-M", 2, A)])
    held = hold({(A, LYS): 2})
    hold_units(held, places, SOURCE)
    places.at(A, LYS).active = False
    hand_over(held, demand, places, SOURCE, SOURCE, now=NOW)
    settle(demand, places, SOURCE, now=NOW)
    assert demand.status is DemandStatus.RESERVED
    assert {key: units.reserved for key, units in demand.held.items()} == {(A, LYS): 2}
    assert (held.state, held.order_id) == (HoldState.CONVERTED, ORDER)


def test_order_takes_of_a_hold_what_it_needs_and_the_rest_is_free():
    places = shelves(ber=5)
    demand = converted(places, hold({(A, BER): 4}), Demand(ORDER, 1, lines=[DemandLine("TEE-M", 3, A)]))
    assert (demand.reserved(A), places.available(A)) == (3, 2)


def test_order_that_has_all_it_needs_frees_the_hold():
    places = Shelves([Level(A, BER, "TEE-M", "BER", 1, 5, 3)])
    demand = Demand(ORDER, 1, lines=[DemandLine("TEE-M", 3, A)], held={(A, BER): Held(reserved=3)})
    converted(places, hold({(A, BER): 2}), demand)
    assert (demand.reserved(A), places.available(A)) == (3, 2)
    assert places.freed_skus() == []


def test_promise_gives_the_order_time_to_come():
    held = hold({(A, BER): 1})
    promise(held, ORDER, now=NOW)
    assert (held.state, held.order_id, held.expires_at) == (HoldState.PROMISED, ORDER, NOW + PROMISE_KEPT)
    endless = hold({(A, BER): 1})
    endless.expires_at = None
    promise(endless, ORDER, now=NOW)
    assert endless.expires_at is None


def test_extension_never_shortens_and_comes_before_the_end():
    held = hold({(A, BER): 1})
    extend(held, NOW + timedelta(minutes=1))
    assert held.expires_at == NOW + timedelta(minutes=15)
    extend(held, NOW + timedelta(hours=1))
    assert held.expires_at == NOW + timedelta(hours=1)
    extend(held, None)
    extend(held, NOW + timedelta(hours=9))
    assert held.expires_at is None
    held.state = HoldState.EXPIRED
    with pytest.raises(DocumentClosedError, match="is expired"):
        extend(held, None)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"expires_in_s": 59}, "60"),
        ({"expires_in_s": 86_401}, "86400"),
        ({"kind": "manual"}, "reason"),
        ({"lines": []}, "at least 1"),
        ({"lines": [{"sku": "A", "quantity": 0}]}, "greater than 0"),
        ({"kind": "gift"}, "cart"),
    ],
)
def test_body_that_makes_no_sense_is_refused(change, word):
    body = {"kind": "cart", "lines": [{"sku": "A", "quantity": 1}], **change}
    with pytest.raises(ValidationError, match=word):
        HoldCreate.model_validate(body)
