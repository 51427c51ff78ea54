"""Units come from one warehouse if one can give them all, else from few."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from rappit_inventory.domain.allocation import allocate
from rappit_inventory.domain.stock import Level, Shelves

A, B = UUID(int=1), UUID(int=2)
BER, LYS, MIL = UUID(int=11), UUID(int=12), UUID(int=13)


def level(sku, warehouse, total, reserved=0):
    code = {BER: "BER", LYS: "LYS", MIL: "MIL"}[warehouse]
    return Level(sku, warehouse, str(sku.int), code, warehouse.int, total, reserved)


def test_takes_the_first_warehouse_that_holds_the_whole_order():
    shelves = Shelves([level(A, BER, 5), level(B, BER, 0), level(A, LYS, 5), level(B, LYS, 5), level(A, MIL, 9)])
    assert allocate({A: 2, B: 1}, shelves) == {(A, LYS): 2, (B, LYS): 1}
    assert allocate({A: 2}, shelves) == {(A, BER): 2}


def test_prefers_the_warehouse_that_holds_a_part_of_the_order_already():
    shelves = Shelves([level(A, BER, 5), level(A, LYS, 5)])
    assert allocate({A: 2}, shelves, {LYS}) == {(A, LYS): 2}
    assert allocate({A: 2}, Shelves([level(A, BER, 5), level(A, LYS, 1)]), {LYS}) == {(A, BER): 2}


def test_splits_when_no_warehouse_holds_all():
    shelves = Shelves([level(A, BER, 3), level(B, LYS, 4), level(A, LYS, 1)])
    assert allocate({A: 4, B: 4}, shelves) == {(A, BER): 3, (A, LYS): 1, (B, LYS): 4}


def test_keeps_a_sku_together_while_splitting_the_order():
    shelves = Shelves([level(A, BER, 2), level(A, LYS, 4), level(B, BER, 1)])
    assert allocate({A: 4, B: 1}, shelves) == {(A, LYS): 4, (B, BER): 1}


def test_gives_nothing_when_one_sku_is_short():
    shelves = Shelves([level(A, BER, 3, reserved=2), level(B, BER, 9)])
    assert allocate({A: 2, B: 1}, shelves) is None
    assert allocate({A: 1, UUID(int=99): 1}, shelves) is None


@settings(deadline=None)
@given(
    st.dictionaries(st.tuples(st.sampled_from([A, B]), st.sampled_from([BER, LYS, MIL])), st.integers(0, 5)),
    st.dictionaries(st.sampled_from([A, B]), st.integers(1, 12), min_size=1),
)
def test_takes_all_or_nothing_and_never_more_than_there_is(stock, needs):
    shelves = Shelves([level(sku, warehouse, total) for (sku, warehouse), total in stock.items()])
    picks = allocate(needs, shelves)
    enough = all(sum(n for (s, _), n in stock.items() if s == sku) >= need for sku, need in needs.items())
    assert (picks is not None) == enough
    if picks is not None:
        assert all(0 < n <= stock[key] for key, n in picks.items())
        assert {sku: sum(n for (s, _), n in picks.items() if s == sku) for sku in needs} == needs
