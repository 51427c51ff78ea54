from uuid import UUID, uuid4

import pytest
from rappit_shipping.domain.carrier import MAX_REFERENCE_CHARACTERS
from rappit_shipping.domain.shipments import (
    TRANSITIONS,
    Allocation,
    AlreadyLabelledError,
    IllegalTransitionError,
    Line,
    OrderNotShippableError,
    ShipmentStatus,
    check_move,
    check_order_state,
    choose_lines,
    reference_of,
)

S = ShipmentStatus


def test_reference_fits_every_carrier_and_is_never_shared():
    references = {reference_of(uuid4()) for _ in range(1_000)}
    assert len(references) == 1_000
    assert {len(reference) for reference in references} == {29}
    assert max(map(len, references)) <= MAX_REFERENCE_CHARACTERS
    assert reference_of(UUID(int=0)) == "RP-AAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize("current", list(S))
@pytest.mark.parametrize("target", list(S))
def test_status_moves_only_where_the_table_says(current, target):
    if target in TRANSITIONS[current]:
        check_move(current, target)
    else:
        with pytest.raises(IllegalTransitionError):
            check_move(current, target)


def test_voided_is_the_end():
    assert TRANSITIONS[S.VOIDED] == frozenset()


@pytest.mark.parametrize("state", ["received", "on_hold", "backordered", "cancelled", "shipped"])
def test_order_that_is_not_reserved_gets_no_label(state):
    with pytest.raises(OrderNotShippableError, match=r"Order #7 is "):
        check_order_state("#7", state, [], additional=True)


def test_one_label_an_order_unless_another_is_asked_for():
    live = [uuid4()]
    check_order_state("#7", "reserved", [], additional=False)
    # Void and buy again: orders may not have heard of the void yet.
    check_order_state("#7", "ready_to_ship", [], additional=False)
    check_order_state("#7", "ready_to_ship", live, additional=True)
    with pytest.raises(AlreadyLabelledError, match="Order #7 has a label already") as refused:
        check_order_state("#7", "reserved", live, additional=False)
    assert refused.value.fields["shipments"] == [str(live[0])]


def test_lines_are_what_is_allocated_and_not_shipped_yet():
    allocations = [Allocation("A", "X", 3), Allocation("B", "X", 1), Allocation("A", "Y", 2)]
    shipped = [("X", Line("A", 2)), ("Y", Line("A", 2))]
    assert choose_lines("#7", allocations, shipped, None) == ("X", [Line("A", 1), Line("B", 1)])
    assert choose_lines("#7", allocations, shipped, "Y") == ("Y", [])
    assert choose_lines("#7", [], [], None) == (None, [])


def test_warehouse_is_named_when_there_are_several_and_known():
    allocations = [Allocation("A", "X", 3), Allocation("A", "Y", 2)]
    with pytest.raises(OrderNotShippableError, match="X, Y"):
        choose_lines("#7", allocations, [], None)
    with pytest.raises(OrderNotShippableError, match="Nothing of order #7 is allocated in Z"):
        choose_lines("#7", allocations, [], "Z")
