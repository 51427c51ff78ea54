"""Levels in hand: what may move, what has changed, and what has run low."""

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from rappit_inventory.domain.stock import Level, MovementKind, NegativeStockError, Shelves, Source

SKU, BER, LYS = UUID(int=1), UUID(int=10), UUID(int=11)
SOURCE = Source("test", UUID(int=99), "tester")
PARTS = ("total", "reserved", "damaged", "quarantined")


def shelves(**more):
    return Shelves([Level(SKU, BER, "A", "BER", 1, 10, 2, **more)])


@pytest.mark.parametrize(
    "change",
    [{"total": -9}, {"reserved": -3}, {"reserved": 9}, {"damaged": -1}, {"damaged": 9}, {"damaged": 5, "reserved": 4}],
)
def test_move_that_would_take_what_is_not_there_changes_nothing(change):
    places = shelves()
    with pytest.raises(NegativeStockError):
        places.move(SKU, BER, MovementKind.ADJUST, SOURCE, **change)
    assert places.movements == []
    assert places.at(SKU, BER).available == 8


def test_level_falls_once_when_it_comes_down_to_its_reorder_point():
    places = shelves(reorder_point=5)
    places.move(SKU, BER, MovementKind.ADJUST, SOURCE, total=-2)
    assert places.fallen() == []
    places.move(SKU, BER, MovementKind.STATE, SOURCE, damaged=1)
    assert [level.available for level in places.fallen()] == [5]
    again = shelves(reorder_point=8)
    again.move(SKU, BER, MovementKind.ADJUST, SOURCE, total=-2)
    assert again.fallen() == []


def test_level_that_came_down_and_rose_again_has_not_fallen():
    places = shelves(reorder_point=5)
    places.move(SKU, BER, MovementKind.RESERVE, SOURCE, reserved=5)
    places.move(SKU, BER, MovementKind.RELEASE, SOURCE, reserved=-5)
    assert places.fallen() == []
    assert list(places.changed()) == []


def test_inactive_level_keeps_its_stock_and_promises_nothing():
    places = Shelves([Level(SKU, BER, "A", "BER", 1, 10, 2, active=False), Level(SKU, LYS, "A", "LYS", 2, 3, 0)])
    assert (places.at(SKU, BER).available, places.available(SKU)) == (8, 3)
    places.move(SKU, BER, MovementKind.RELEASE, SOURCE, reserved=-2)
    assert places.freed_skus() == []


class LevelsAndLedger(RuleBasedStateMachine):
    """Whatever is tried, levels add up, and the ledger alone tells how they came to be."""

    def __init__(self):
        super().__init__()
        self.places = Shelves([Level(SKU, BER, "A", "BER", 1, 0, 0), Level(SKU, LYS, "A", "LYS", 2, 0, 0)])

    @rule(
        place=st.sampled_from([BER, LYS]),
        change=st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, st.integers(-6, 8))),
    )
    def move(self, place, change):
        before = [getattr(self.places.at(SKU, place), part) for part in PARTS]
        try:
            self.places.move(SKU, place, MovementKind.ADJUST, SOURCE, **change)
        except NegativeStockError:
            assert [getattr(self.places.at(SKU, place), part) for part in PARTS] == before

    @invariant()
    def levels_are_what_the_ledger_says(self):
        for place in (BER, LYS):
            level = self.places.at(SKU, place)
            moves = [move for move in self.places.movements if move.warehouse_id == place]
            for part in PARTS:
                changes = [getattr(move, f"{part}_after") - getattr(move, f"{part}_before") for move in moves]
                assert getattr(level, part) == sum(changes) >= 0
            assert level.available == level.total - level.reserved - level.damaged - level.quarantined >= 0
            for earlier, later in pairwise(moves):
                assert earlier.total_after == later.total_before


LevelsAndLedger.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLevelsAndLedger = LevelsAndLedger.TestCase
