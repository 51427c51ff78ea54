"""Orders that may have a part converge as others do, and what a person took away stays away."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rappit_inventory.domain.allocation import Destination, Strategy
from rappit_inventory.domain.demands import Demand, DemandLine, DemandStatus, ForceRelease, Held, move_held, settle
from rappit_inventory.domain.errors import InsufficientStockError, NotHeldError
from rappit_inventory.domain.policy import StockPolicy
from rappit_inventory.domain.shipments import Shipment, give_back, take
from rappit_inventory.domain.stock import Level, MovementKind, Shelves, Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)
NAMES = {A: "A", B: "B"}
BER, LYS = UUID(int=11), UUID(int=12)
PLACES = {BER: ("BER", "DE"), LYS: ("LYS", "FR")}
ORDER = UUID(int=100)
SOURCE = Source("order", ORDER, "orders")
PARTIAL = StockPolicy(partial_reservations=True)
RELEASE = ForceRelease("anna", "No pay.")


def shelves_of(stock):
    return Shelves(
        [
            Level(sku, place, NAMES[sku], PLACES[place][0], place.int, total, 0, country_code=PLACES[place][1])
            for (sku, place), total in stock.items()
        ]
    )


def apply(demand, shelves, version, wanted, destination=None):
    lines = [DemandLine(NAMES[sku], quantity, sku) for sku, quantity in wanted.items() if quantity]
    if demand.accept(version, lines, destination):
        settle(demand, shelves, SOURCE, now=NOW)


def held(demand):
    return {key: units.reserved for key, units in demand.held.items() if units.reserved}


def test_what_there_is_is_held_and_the_rest_is_named():
    shelves, demand = shelves_of({(A, BER): 2, (A, LYS): 1, (B, BER): 9}), Demand(ORDER, policy=PARTIAL)
    apply(demand, shelves, 1, {A: 5, B: 2})
    assert held(demand) == {(A, BER): 2, (A, LYS): 1, (B, BER): 2}
    assert (demand.status, demand.waiting_since) == (DemandStatus.BACKORDERED, NOW)
    assert demand.message() == "Reserved in part: SKU A needs 5, 3 available."
    assert [line.sku_code for line in demand.waiting_lines()] == ["A"]
    # Settled again nothing is different, so nobody is told anything.
    assert not settle(demand, shelves, SOURCE, now=NOW)
    shelves.move(A, BER, MovementKind.ADJUST, SOURCE, total=1)
    assert settle(demand, shelves, SOURCE, now=NOW)
    assert (held(demand)[A, BER], demand.status) == (3, DemandStatus.BACKORDERED)


def test_an_order_with_an_unknown_sku_holds_no_part():
    shelves, demand = shelves_of({(A, BER): 5}), Demand(ORDER, policy=PARTIAL)
    demand.accept(1, [DemandLine("A", 2, A), DemandLine("X", 1)])
    settle(demand, shelves, SOURCE, now=NOW)
    assert (demand.status, held(demand)) == (DemandStatus.ON_HOLD, {})


def test_where_no_part_is_allowed_any_more_it_is_given_back_when_the_order_is_looked_at():
    shelves, demand = shelves_of({(A, BER): 2}), Demand(ORDER, policy=PARTIAL)
    apply(demand, shelves, 1, {A: 5})
    demand.policy = StockPolicy()
    settle(demand, shelves, SOURCE, now=NOW)
    assert (held(demand), demand.status) == ({}, DemandStatus.BACKORDERED)
    assert demand.message() == "Insufficient stock: SKU A needs 5, 2 available."


def test_a_decrease_gives_back_from_where_the_strategy_ships_last():
    goes_to = Destination.of("FR", "69001")
    policy = StockPolicy(Strategy.NEAREST)
    shelves, demand = shelves_of({(A, BER): 2, (A, LYS): 2}), Demand(ORDER, policy=policy)
    apply(demand, shelves, 1, {A: 4}, goes_to)
    apply(demand, shelves, 2, {A: 3}, goes_to)
    assert held(demand) == {(A, BER): 1, (A, LYS): 2}
    apply(demand, shelves, 3, {A: 1}, goes_to)
    assert held(demand) == {(A, LYS): 1}


@pytest.mark.parametrize("policy", [StockPolicy(), PARTIAL])
def test_what_a_person_took_away_stays_away_until_the_order_asks_for_something_else(policy):
    shelves, demand = shelves_of({(A, BER): 9}), Demand(ORDER, policy=policy)
    apply(demand, shelves, 1, {A: 3})
    demand.force_release = RELEASE
    assert settle(demand, shelves, SOURCE, now=NOW)
    assert (held(demand), demand.status, demand.shortages) == ({}, DemandStatus.BACKORDERED, [])
    assert demand.message() == "Released by anna: No pay. It waits until it is resumed, or changed."
    assert demand.waiting_lines() == []
    apply(demand, shelves, 2, {A: 3})
    assert (held(demand), demand.force_release) == ({}, RELEASE)
    apply(demand, shelves, 3, {A: 2})
    assert (held(demand), demand.force_release, demand.status) == ({(A, BER): 2}, None, DemandStatus.RESERVED)


def test_a_parcel_bought_while_a_person_took_its_units_away_is_shipped_from_what_is_free():
    shelves, demand, shipment = shelves_of({(A, BER): 3}), Demand(ORDER), Shipment(UUID(int=7), ORDER)
    apply(demand, shelves, 1, {A: 3})
    demand.force_release = RELEASE
    settle(demand, shelves, SOURCE, now=NOW)
    take(shipment, {A: 3}, demand, shelves, SOURCE, "BER")
    settle(demand, shelves, SOURCE, now=NOW)
    # It is complete: there is nothing to keep away from it.
    assert (demand.status, demand.is_set_aside, shelves.at(A, BER).total) == (DemandStatus.RESERVED, False, 0)
    give_back(shipment, demand, shelves, SOURCE)
    settle(demand, shelves, SOURCE, now=NOW)
    assert (demand.status, held(demand), shelves.at(A, BER).available) == (DemandStatus.BACKORDERED, {}, 3)


def test_units_move_and_the_order_holds_as_many():
    shelves, demand = shelves_of({(A, BER): 3, (A, LYS): 2}), Demand(ORDER)
    apply(demand, shelves, 1, {A: 3})
    move_held(demand, A, BER, LYS, 2, shelves, SOURCE)
    assert held(demand) == {(A, BER): 1, (A, LYS): 2}
    with pytest.raises(InsufficientStockError, match="1 requested, 0 available in LYS"):
        move_held(demand, A, BER, LYS, 1, shelves, SOURCE)
    with pytest.raises(NotHeldError, match="1 of SKU A reserved in BER, cannot move 2"):
        move_held(demand, A, BER, LYS, 2, shelves, SOURCE)
    assert (shelves.at(A, BER).reserved, shelves.at(A, LYS).reserved) == (1, 2)


quantities = st.fixed_dictionaries({A: st.integers(0, 9), B: st.integers(0, 9)})
policies = st.builds(StockPolicy, st.sampled_from(Strategy), st.booleans())


@settings(deadline=None, max_examples=200)
@given(
    stock=st.fixed_dictionaries(
        {(A, BER): st.integers(0, 5), (A, LYS): st.integers(0, 5), (B, LYS): st.integers(0, 5)}
    ),
    versions=st.lists(quantities, min_size=1, max_size=6),
    policy=policies,
    goes_to=st.sampled_from([None, Destination("DE"), Destination("FR", "69001")]),
    data=st.data(),
)
def test_whatever_the_policy_any_shuffle_and_duplication_ends_like_the_ordered_run(
    stock, versions, policy, goes_to, data
):
    numbered = list(enumerate(versions, start=1))
    extra = data.draw(st.lists(st.sampled_from(numbered), max_size=6))
    shuffled = data.draw(st.permutations(numbered + extra))
    newest = versions[-1]
    there = {sku: sum(n for (s, _), n in stock.items() if s == sku) for sku in NAMES}
    # The model: all of the newest version where that is there, else a part of it or none.
    if all(newest[sku] <= there[sku] for sku in NAMES):
        expected = newest
    elif policy.partial_reservations:
        expected = {sku: min(newest[sku], there[sku]) for sku in NAMES}
    else:
        expected = dict.fromkeys(NAMES, 0)
    for run in (numbered, shuffled):
        shelves, demand = shelves_of(stock), Demand(ORDER, policy=policy)
        for version, wanted in run:
            apply(demand, shelves, version, wanted, goes_to)
            for key in stock:
                assert shelves.at(*key).reserved == demand.held.get(key, Held()).reserved <= shelves.at(*key).total
        assert {sku: demand.reserved(sku) for sku in NAMES} == expected
        assert demand.order_version == len(versions)
