"""The states of an order, and which may follow which."""

from enum import StrEnum

from rappit_common.errors import ConflictError


class OrderState(StrEnum):
    """Where an order stands."""

    RECEIVED = "received"
    """Its demand is not answered yet (or it needs no stock)."""
    ON_HOLD = "on_hold"
    """A person has to mend something first; the hold says what."""
    BACKORDERED = "backordered"
    """It waits for stock."""
    RESERVED = "reserved"
    """All of it is set aside."""
    READY_TO_SHIP = "ready_to_ship"
    """A label was bought."""
    CANCELLED = "cancelled"


# Stock comes and goes, demands change, and a voided label leaves an order wherever its stock is: these four mix freely.
_OPEN = frozenset({OrderState.RECEIVED, OrderState.ON_HOLD, OrderState.BACKORDERED, OrderState.RESERVED})

TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    **{state: (_OPEN | {OrderState.READY_TO_SHIP, OrderState.CANCELLED}) - {state} for state in _OPEN},
    OrderState.READY_TO_SHIP: _OPEN | {OrderState.CANCELLED},
    # A channel may restore what it cancelled (WooCommerce does); its new demand is then asked for from the start.
    OrderState.CANCELLED: frozenset({OrderState.RECEIVED, OrderState.ON_HOLD, OrderState.READY_TO_SHIP}),
}


class IllegalTransitionError(ConflictError):
    """The order's present state does not lead to the one asked for."""

    code = "illegal_transition"


def check_transition(before: OrderState, after: OrderState) -> None:
    """Return when an order may go from ``before`` to ``after``.

    Raises:
        IllegalTransitionError: It may not; both states are named.
    """
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError(
            f"An order that is {before.value} cannot become {after.value}.", state=before.value, asked=after.value
        )
