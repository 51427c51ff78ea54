"""Versions of a demand converge: whatever came in between, the end is the newest version's."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rappit_inventory.domain.demands import Demand, DemandLine, DemandStatus, settle
from rappit_inventory.domain.shipments import NotReservedError, Shipment, give_back, take
from rappit_inventory.domain.stock import Level, MovementKind, NegativeStockError, Shelves, Source

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)
NAMES = {A: "A", B: "B"}
BER, LYS = UUID(int=11), UUID(int=12)
ORDER = UUID(int=100)
SOURCE = Source("order", ORDER, "orders")


def shelves_of(stock):
    return Shelves(
        [
            Level(sku, warehouse, NAMES[sku], {BER: "BER", LYS: "LYS"}[warehouse], warehouse.int, total, 0)
            for (sku, warehouse), total in stock.items()
        ]
    )


def lines(quantities):
    return [DemandLine(NAMES[sku], quantity, sku) for sku, quantity in quantities.items() if quantity]


def apply(demand, shelves, version, quantities):
    if demand.accept(version, lines(quantities)):
        settle(demand, shelves, SOURCE, now=NOW)


def held(demand):
    return {key: units.reserved for key, units in demand.held.items() if units.reserved}


def test_increase_reserves_the_difference_and_decrease_releases_where_it_lies():
    shelves = shelves_of({(A, BER): 3, (A, LYS): 5})
    demand = Demand(ORDER)
    apply(demand, shelves, 1, {A: 3})
    assert held(demand) == {(A, BER): 3}
    apply(demand, shelves, 2, {A: 5})
    assert held(demand) == {(A, BER): 3, (A, LYS): 2}
    assert [(m.kind, m.reserved_after - m.reserved_before) for m in shelves.movements[1:]] == [
        (MovementKind.RESERVE, 2)
    ]
    apply(demand, shelves, 3, {A: 4})
    assert held(demand) == {(A, BER): 3, (A, LYS): 1}
    apply(demand, shelves, 4, {})
    assert (held(demand), demand.status) == ({}, DemandStatus.RELEASED)
    assert shelves.available(A) == 8


def test_late_and_duplicate_versions_change_nothing():
    shelves = shelves_of({(A, BER): 9})
    demand = Demand(ORDER)
    apply(demand, shelves, 2, {A: 4})
    before = len(shelves.movements)
    apply(demand, shelves, 2, {A: 9})
    apply(demand, shelves, 1, {A: 9})
    assert (held(demand), len(shelves.movements)) == ({(A, BER): 4}, before)


def test_same_sku_on_two_lines_is_one_demand():
    shelves = shelves_of({(A, BER): 5})
    demand = Demand(ORDER)
    demand.accept(1, [DemandLine("A", 2, A), DemandLine("a", 2, A), DemandLine("A", 1, A)])
    settle(demand, shelves, SOURCE, now=NOW)
    assert (held(demand), demand.status) == ({(A, BER): 5}, DemandStatus.RESERVED)


def test_short_order_holds_nothing_and_says_what_it_could_have():
    shelves = shelves_of({(A, BER): 3, (B, BER): 9})
    demand = Demand(ORDER)
    apply(demand, shelves, 1, {A: 2, B: 1})
    apply(demand, shelves, 2, {A: 5, B: 1})
    assert (held(demand), demand.status) == ({}, DemandStatus.BACKORDERED)
    assert demand.message() == "Insufficient stock: SKU A needs 5, 3 available."
    assert demand.waiting_since == NOW


def test_many_shortages_are_named_within_bounds():
    demand = Demand(ORDER)
    demand.accept(1, [DemandLine(f"S{n}", 1, UUID(int=1000 + n)) for n in range(7)])
    settle(demand, Shelves([]), SOURCE, now=NOW)
    assert demand.message() == (
        "Insufficient stock: SKU S0 needs 1, 0 available; SKU S1 needs 1, 0 available; SKU S2 needs 1, 0 available;"
        " SKU S3 needs 1, 0 available; SKU S4 needs 1, 0 available; and 2 more."
    )


def test_unknown_sku_holds_the_order_and_reserves_nothing():
    shelves = shelves_of({(A, BER): 3})
    demand = Demand(ORDER)
    demand.accept(1, [DemandLine("A", 1, A), DemandLine("X", 1), DemandLine("Y", 1)])
    settle(demand, shelves, SOURCE, now=NOW)
    assert (demand.status, held(demand)) == (DemandStatus.ON_HOLD, {})
    assert demand.message() == "Unknown SKUs X, Y: add them to the catalogue, or change the order."


def test_shipped_units_are_never_released_and_a_void_gives_them_back():
    shelves = shelves_of({(A, BER): 5})
    demand, shipment = Demand(ORDER), Shipment(UUID(int=7), ORDER)
    apply(demand, shelves, 1, {A: 3})
    take(shipment, {A: 2}, demand, shelves, SOURCE, "ber")
    assert (shelves.get(A, BER).total, shelves.get(A, BER).reserved) == (3, 1)
    apply(demand, shelves, 2, {})
    assert (shelves.get(A, BER).total, shelves.get(A, BER).reserved) == (3, 0)
    give_back(shipment, demand, shelves, SOURCE)
    settle(demand, shelves, SOURCE, now=NOW)
    assert (shelves.get(A, BER).total, shelves.get(A, BER).reserved, held(demand)) == (5, 0, {})


def test_parcel_bought_while_its_order_was_changed_takes_free_units_after_its_own():
    shelves = shelves_of({(A, BER): 5, (B, BER): 4})
    demand, shipment = Demand(ORDER), Shipment(UUID(int=7), ORDER)
    apply(demand, shelves, 1, {A: 3, B: 3})
    apply(demand, shelves, 2, {A: 1})
    take(shipment, {A: 3, B: 3}, demand, shelves, SOURCE, "BER")
    settle(demand, shelves, SOURCE, now=NOW)
    levels = {sku: (shelves.get(sku, BER).total, shelves.get(sku, BER).reserved) for sku in (A, B)}
    assert levels == {A: (2, 0), B: (1, 0)}
    give_back(shipment, demand, shelves, SOURCE)
    settle(demand, shelves, SOURCE, now=NOW)
    levels = {sku: (shelves.get(sku, BER).total, shelves.get(sku, BER).reserved) for sku in (A, B)}
    assert levels == {A: (5, 1), B: (4, 0)}


def test_shipment_of_more_than_lies_reserved_or_free_is_refused_whole():
    shelves = shelves_of({(A, BER): 5})
    demand, other = Demand(ORDER), Demand(UUID(int=101))
    apply(demand, shelves, 1, {A: 1})
    apply(other, shelves, 1, {A: 3})
    with pytest.raises(
        NotReservedError, match="holds 3 of SKU A, but its order has 1 reserved and only 1 more is free"
    ):
        take(Shipment(UUID(int=7), ORDER), {A: 3}, demand, shelves, SOURCE, None)
    assert (shelves.get(A, BER).total, shelves.get(A, BER).reserved) == (5, 4)


def test_shipment_of_an_order_nobody_told_of_takes_nothing():
    with pytest.raises(NotReservedError, match="has 0 reserved"):
        take(Shipment(UUID(int=7), ORDER), {A: 1}, Demand(ORDER), shelves_of({(A, BER): 5}), SOURCE, None)


def test_shelves_refuse_to_promise_what_is_not_there():
    shelves = shelves_of({(A, BER): 1})
    with pytest.raises(NegativeStockError):
        shelves.move(A, BER, MovementKind.RESERVE, SOURCE, reserved=2)


quantities = st.fixed_dictionaries({A: st.integers(0, 6), B: st.integers(0, 6)})


@settings(deadline=None)
@given(
    stock=st.fixed_dictionaries(
        {(A, BER): st.integers(0, 8), (A, LYS): st.integers(0, 8), (B, LYS): st.integers(0, 8)}
    ),
    versions=st.lists(quantities, min_size=1, max_size=6),
    data=st.data(),
)
def test_any_shuffle_and_duplication_ends_like_the_ordered_run(stock, versions, data):
    numbered = list(enumerate(versions, start=1))
    extra = data.draw(st.lists(st.sampled_from(numbered), max_size=6))
    shuffled = data.draw(st.permutations(numbered + extra))
    total = {sku: sum(n for (s, _), n in stock.items() if s == sku) for sku in NAMES}
    ends = []
    for run in (numbered, shuffled):
        shelves, demand = shelves_of(stock), Demand(ORDER)
        for version, wanted in run:
            apply(demand, shelves, version, wanted)
            for level in [*shelves.of_sku(A), *shelves.of_sku(B)]:
                assert 0 <= level.reserved <= level.total
        for key, n in stock.items():
            assert shelves.get(*key).reserved == held(demand).get(key, 0)
            assert shelves.get(*key).total == n
        ends.append((demand.status, demand.order_version, {sku: demand.reserved(sku) for sku in NAMES}))
    newest = versions[-1]
    # The model: the newest version is held whole if the shelves allow, else nothing is.
    if not any(newest.values()):
        expected = (DemandStatus.RELEASED, dict.fromkeys(NAMES, 0))
    elif all(newest[sku] <= total[sku] for sku in NAMES):
        expected = (DemandStatus.RESERVED, newest)
    else:
        expected = (DemandStatus.BACKORDERED, dict.fromkeys(NAMES, 0))
    assert ends[0] == ends[1] == (expected[0], len(versions), expected[1])
