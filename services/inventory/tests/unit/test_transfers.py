"""Wherever a transfer stands, each of its units is in exactly one place."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rappit_inventory.domain import transfers
from rappit_inventory.domain.errors import DocumentClosedError, InsufficientStockError, NotInTransitError
from rappit_inventory.domain.stock import Level, Shelves, Source
from rappit_inventory.domain.transfers import Transfer, TransferLine, TransferStatus

SKU, BER, LYS = UUID(int=1), UUID(int=10), UUID(int=11)
SOURCE = Source("transfer", UUID(int=99), "tester")


def shelves(there=10):
    return Shelves([Level(SKU, BER, "A", "BER", 1, there, 0), Level(SKU, LYS, "A", "LYS", 2, 0, 0)])


def transfer(quantity=6):
    return Transfer(UUID(int=99), BER, LYS, TransferStatus.DRAFT, {SKU: TransferLine(SKU, "A", quantity)})


@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "receive", "write_off", "cancel"]), st.none() | st.integers(1, 7)),
        max_size=12,
    )
)
def test_nothing_appears_or_vanishes_in_any_order(steps):
    places, moved = shelves(), transfer()
    for step, quantity in steps:
        named = None if quantity is None else {SKU: quantity}
        try:
            if step == "send":
                transfers.send(moved, places, SOURCE)
            elif step == "receive":
                transfers.receive(moved, named, places, SOURCE)
            elif step == "write_off":
                transfers.write_off(moved, named)
            else:
                transfers.cancel(moved, places, SOURCE)
        except (DocumentClosedError, NotInTransitError):
            pass
        line = moved.lines[SKU]
        on_shelves = places.at(SKU, BER).total + places.at(SKU, LYS).total
        assert on_shelves + line.in_transit + line.written_off == 10
        assert line.in_transit + line.received + line.written_off + line.returned in {0, 6}
        assert places.at(SKU, LYS).total == line.received
        assert (moved.status is TransferStatus.SENT) == (line.in_transit > 0)


def test_source_gives_only_what_is_free():
    places = Shelves([Level(SKU, BER, "A", "BER", 1, 10, 3, damaged=2), Level(SKU, LYS, "A", "LYS", 2, 0, 0)])
    with pytest.raises(InsufficientStockError, match="6 requested, 5 available in BER"):
        transfers.send(transfer(), places, SOURCE)
    assert places.movements == []


def test_refused_receipt_takes_nothing_from_the_way():
    places, moved = shelves(), transfer()
    transfers.send(moved, places, SOURCE)
    with pytest.raises(NotInTransitError):
        transfers.receive(moved, {SKU: 3, UUID(int=2): 1}, places, SOURCE)
    assert moved.rest() == {SKU: 6}
