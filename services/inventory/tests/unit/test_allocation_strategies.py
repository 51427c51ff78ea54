"""What an organization's strategy allocates, and what no strategy may do."""

from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rappit_inventory.domain.allocation import Destination, Strategy, allocate
from rappit_inventory.domain.allocation.fewest_parcels import MAX_EXACT_WAREHOUSES
from rappit_inventory.domain.stock import Level, Shelves

A, B, C = (UUID(int=n) for n in (1, 2, 3))
SKUS = (A, B, C)
PLACES = {
    UUID(int=101): ("BER", "DE", "10115"),
    UUID(int=102): ("HAM", "DE", "20095"),
    UUID(int=103): ("MUC", "DE", "80331"),
    UUID(int=104): ("LYS", "FR", "69001"),
    UUID(int=105): ("LON", "GB", "SW1A 1AA"),
    UUID(int=106): ("OSL", "NO", None),
    UUID(int=107): ("XXX", None, None),
}
BER, HAM, MUC, LYS, LON, OSL, XXX = PLACES


def level(sku, warehouse, total, *, priority=100, active=True):
    code, country, postal = PLACES.get(warehouse, (f"W{warehouse.int}", None, None))
    return Level(
        sku,
        warehouse,
        f"S{sku.int}",
        code,
        priority,
        total,
        0,
        active=active,
        country_code=country,
        postal_code=postal,
    )


def near(country, postal, places=(*PLACES,)):
    """Return which of some warehouses, each of which has all, serves an order."""
    picks = allocate(
        {A: 1},
        Shelves([level(A, place, 5) for place in places]),
        strategy=Strategy.NEAREST,
        destination=Destination.of(country, postal),
    )
    [(_, place)] = picks
    return PLACES[place][0]


@pytest.mark.parametrize(
    ("country", "postal", "expected"),
    [
        ("DE", "20099", "HAM"),
        ("DE", "80000", "MUC"),
        ("de", " 8 0-331", "MUC"),
        ("GB", "sw1a 2bb", "LON"),
        # No postcode begins alike: the country is the same all the same.
        ("DE", "99999", "BER"),
        ("DE", None, "BER"),
        ("FR", "75001", "LYS"),
        # Nobody is in Italy: no customs come between it and the union.
        ("IT", "00100", "BER"),
        # Nor in the United States, to which all are abroad.
        ("US", "10115", "BER"),
        (None, None, "BER"),
        ("ZZ", "20099", "BER"),
    ],
)
def test_nearest_serves_from_the_same_country_and_the_postcode_most_alike(country, postal, expected):
    assert near(country, postal) == expected


def test_nearest_prefers_its_customs_union_to_abroad():
    assert near("IT", "00100", (LON, OSL, XXX, LYS)) == "LYS"
    # Equally far are those abroad and those of which nobody said where they are: priority, then code decides.
    assert near("IT", "00100", (XXX, OSL, LON)) == "LON"


def test_nearest_of_two_as_near_is_the_one_of_better_priority():
    shelves = Shelves([level(A, BER, 5, priority=9), level(A, MUC, 5, priority=2), level(A, LYS, 5, priority=1)])
    picks = allocate({A: 3}, shelves, strategy=Strategy.NEAREST, destination=Destination.of("DE", "55555"))
    assert picks == {(A, MUC): 3}


def test_nearest_takes_one_warehouse_that_has_all_before_two_that_are_nearer():
    shelves = Shelves([level(A, HAM, 5), level(B, BER, 5), level(A, LYS, 5), level(B, LYS, 5)])
    hamburg = Destination.of("DE", "20095")
    assert allocate({A: 1, B: 1}, shelves, strategy=Strategy.NEAREST, destination=hamburg) == {(A, LYS): 1, (B, LYS): 1}
    # Where none has all, the nearest give first.
    assert allocate({A: 6}, shelves, strategy=Strategy.NEAREST, destination=hamburg) == {(A, HAM): 5, (A, LYS): 1}


def test_fewest_parcels_finds_two_warehouses_where_priority_takes_three():
    shelves = Shelves(
        [
            level(A, BER, 2, priority=1),
            *(level(sku, HAM, 2, priority=2) for sku in (A, B)),
            *(level(sku, MUC, 2, priority=3) for sku in (B, C)),
        ]
    )
    needs = {A: 2, B: 2, C: 2}
    assert {place for _, place in allocate(needs, shelves)} == {BER, HAM, MUC}
    picks = allocate(needs, shelves, strategy=Strategy.FEWEST_PARCELS)
    assert {place for _, place in picks} == {BER, MUC}


def test_fewest_parcels_counts_what_the_order_holds_already_as_a_parcel():
    shelves = Shelves([level(A, BER, 5), level(A, HAM, 3), level(B, HAM, 3), level(B, MUC, 5)])
    picks = allocate({A: 3, B: 3}, shelves, {MUC}, strategy=Strategy.FEWEST_PARCELS)
    assert {place for _, place in picks} | {MUC} == {BER, MUC}


stock = st.dictionaries(st.tuples(st.sampled_from(SKUS), st.sampled_from(list(PLACES)[:5])), st.integers(0, 4))
inactive = st.sets(st.sampled_from(list(PLACES)[:5]), max_size=2)
needs_of = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 8), min_size=1)
holdings = st.sets(st.sampled_from(list(PLACES)[:5]), max_size=2)
destinations = st.sampled_from(
    [None, Destination.of("DE", "20099"), Destination.of("GB", "SW1"), Destination.of("US", None)]
)


def shelves_of(stock, inactive):
    return Shelves([level(s, w, n, priority=w.int % 3, active=w not in inactive) for (s, w), n in stock.items()])


@settings(deadline=None, max_examples=200)
@given(stock, inactive, needs_of, holdings, destinations, st.sampled_from(Strategy))
def test_no_strategy_takes_less_more_or_from_where_it_must_not(stock, inactive, needs, holding, goes_to, strategy):
    shelves = shelves_of(stock, inactive)
    picks = allocate(needs, shelves, holding, strategy=strategy, destination=goes_to)
    enough = all(
        sum(n for (s, w), n in stock.items() if s == sku and w not in inactive) >= need for sku, need in needs.items()
    )
    assert (picks is not None) == enough
    if picks is None:
        return
    assert {sku: sum(n for (s, _), n in picks.items() if s == sku) for sku in needs} == needs
    for (sku, place), units in picks.items():
        assert place not in inactive
        assert 0 < units <= shelves.at(sku, place).allocatable
    again = allocate(
        dict(reversed(needs.items())),
        shelves_of(dict(reversed(stock.items())), inactive),
        set(holding),
        strategy=strategy,
        destination=goes_to,
    )
    assert again == picks


@settings(deadline=None, max_examples=300)
@given(stock, inactive, needs_of, holdings)
def test_fewest_parcels_is_as_few_as_trying_every_combination_finds(stock, inactive, needs, holding):
    picks = allocate(needs, shelves_of(stock, inactive), holding, strategy=Strategy.FEWEST_PARCELS)
    if picks is None:
        return
    others = [place for place in list(PLACES)[:5] if place not in holding]

    def enough(places):
        have = {*places, *holding} - inactive
        return all(sum(stock.get((sku, place), 0) for place in have) >= need for sku, need in needs.items())

    fewest = next(size for size in range(6) if any(enough(x) for x in combinations(others, size)))
    assert len({place for _, place in picks} - holding) == fewest


@settings(deadline=None)
@given(
    st.dictionaries(st.tuples(st.sampled_from(SKUS), st.integers(200, 215)), st.integers(0, 3), min_size=30),
    needs_of,
)
def test_greedy_choice_among_many_warehouses_finds_all_and_drops_the_superfluous(stock, needs):
    stock = {(sku, UUID(int=n)): units for (sku, n), units in stock.items()}
    picks = allocate(needs, shelves_of(stock, ()), strategy=Strategy.FEWEST_PARCELS)
    enough = all(sum(n for (s, _), n in stock.items() if s == sku) >= need for sku, need in needs.items())
    assert (picks is not None) == enough
    if picks is None:
        return
    used = {place for _, place in picks}
    assert {sku: sum(n for (s, _), n in picks.items() if s == sku) for sku in needs} == needs
    candidates = {place for (sku, place), units in stock.items() if sku in needs and units}
    if len(candidates) > MAX_EXACT_WAREHOUSES:
        for place in used:
            left = used - {place}
            assert any(sum(stock.get((sku, w), 0) for w in left) < need for sku, need in needs.items())


def test_greedy_choice_drops_the_warehouse_that_others_made_superfluous():
    skus = [UUID(int=n) for n in range(1, 7)]
    most, one, other = UUID(int=201), UUID(int=202), UUID(int=203)
    has = {most: skus[:4], one: [*skus[:2], skus[4]], other: [*skus[2:4], skus[5]]}
    has |= {UUID(int=n): skus[:1] for n in range(204, 212)}
    shelves = Shelves([level(sku, place, 1) for place, held in has.items() for sku in held])
    picks = allocate(dict.fromkeys(skus, 1), shelves, strategy=Strategy.FEWEST_PARCELS)
    assert {place for _, place in picks} == {one, other}


def test_an_order_of_thousands_of_lines_is_split_in_time():
    skus = [UUID(int=10_000 + n) for n in range(5_000)]
    places = [UUID(int=300 + n) for n in range(MAX_EXACT_WAREHOUSES)]
    # Every SKU lies whole in half of the warehouses, none of which has all.
    shelves = Shelves(
        [level(sku, place, 1) for n, sku in enumerate(skus) for m, place in enumerate(places) if (n + m) % 2 or m == 7]
    )
    picks = allocate(dict.fromkeys(skus, 1), shelves, strategy=Strategy.FEWEST_PARCELS)
    assert {place for _, place in picks} == {places[7]}
