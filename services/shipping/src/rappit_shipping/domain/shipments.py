"""A shipment's life, and the refusals a merchant may meet in it."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from rappit_common.errors import ConflictError, InvalidError, NotFoundError, RappitError, UnavailableError


class ShipmentStatus(StrEnum):
    """Where a shipment stands.

    ``purchasing``: written down before the carrier is asked. ``labelled``: bought. ``failed``: nothing was bought.
    ``outcome_unknown``: a label may have been bought; looked up, never asked for again. ``void_pending``: written down
    before the carrier is asked to take the label back. ``voided``: the carrier said that it did.
    """

    PURCHASING = "purchasing"
    LABELLED = "labelled"
    FAILED = "failed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    VOID_PENDING = "void_pending"
    VOIDED = "voided"


S = ShipmentStatus
TRANSITIONS: Mapping[ShipmentStatus, frozenset[ShipmentStatus]] = {
    S.PURCHASING: frozenset({S.LABELLED, S.FAILED, S.OUTCOME_UNKNOWN, S.VOIDED}),
    S.OUTCOME_UNKNOWN: frozenset({S.LABELLED, S.FAILED, S.VOIDED}),
    S.LABELLED: frozenset({S.VOID_PENDING}),
    S.VOID_PENDING: frozenset({S.VOIDED, S.LABELLED}),
    # Only when a carrier's answer comes after we gave up on it: what was bought is never forgotten.
    S.FAILED: frozenset({S.LABELLED}),
    S.VOIDED: frozenset(),
}
LIVE = frozenset({S.PURCHASING, S.LABELLED, S.OUTCOME_UNKNOWN, S.VOID_PENDING})
"""Those that have, or may have, a label that counts."""

UNSETTLED = frozenset({S.PURCHASING, S.OUTCOME_UNKNOWN, S.VOID_PENDING})
"""Those that the reconciler looks after."""


class ShipmentNotFoundError(NotFoundError):
    """No such shipment for this organization."""

    code = "shipment_not_found"


class AccountNotFoundError(NotFoundError):
    """No such carrier account for this organization."""

    code = "carrier_account_not_found"


class UnknownCarrierError(InvalidError):
    """No such carrier."""

    code = "unknown_carrier"


class AccountExistsError(ConflictError):
    """Another account has that name."""

    code = "carrier_account_exists"


class OrderNotShippableError(ConflictError):
    """The order's state, or what is known of it, refuses a label."""

    code = "order_not_shippable"


class AlreadyLabelledError(ConflictError):
    """The order has a live label and no additional one was asked for."""

    code = "already_labelled"


class OrderUnknownError(OrderNotShippableError):
    """Orders has not told shipping of this order, or not yet."""

    code = "order_unknown"


class IdempotencyConflictError(ConflictError):
    """The key was used for another request."""

    code = "idempotency_key_reused"


class IllegalTransitionError(ConflictError):
    """The shipment's status refuses this."""

    code = "shipment_status"


class VoidUnsupportedError(ConflictError):
    """The carrier takes no label back."""

    code = "void_unsupported"


class VoidRefusedError(ConflictError):
    """The carrier did not take the label back; the message is the carrier's own."""

    code = "void_refused"


class CarrierRefusedError(InvalidError):
    """The carrier did not sell the label; the message is the carrier's own."""

    code = "carrier_refused"


class LabelMissingError(ConflictError):
    """There is no label to print."""

    code = "label_missing"


class NotBoughtError(UnavailableError):
    """The request never reached the carrier: nothing was bought or voided, and the same may be tried again."""

    code = "carrier_unavailable"


class OutcomeUnknownError(RappitError):
    """The carrier may have done what was asked; Rappit looks it up, and nothing must be asked for again blindly."""

    status = 502
    code = "outcome_unknown"


class OutcomeTimeoutError(OutcomeUnknownError):
    """The same, because the carrier did not answer in time."""

    status = 504


def check_move(current: ShipmentStatus, target: ShipmentStatus) -> None:
    """Refuse a change of status that no shipment makes.

    Raises:
        IllegalTransitionError: The shipment is elsewhere.
    """
    if target not in TRANSITIONS[current]:
        raise IllegalTransitionError(
            f"The shipment is {current.value.replace('_', ' ')} and cannot become {target.value.replace('_', ' ')}.",
            shipment_status=current.value,
        )


def reference_of(shipment_id: UUID) -> str:
    """Return the reference a carrier is given for a shipment: 29 characters, fit for any carrier, unique for ever."""
    return "RP-" + base64.b32encode(shipment_id.bytes).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Allocation:
    """How much of a SKU is reserved in a warehouse for an order."""

    sku: str
    warehouse_code: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Line:
    """How many of a SKU are in a shipment."""

    sku: str
    quantity: int


_REASONS = {
    "received": "its stock is not reserved yet",
    "on_hold": "look at its hold, mend the cause, and it goes on by itself",
    "backordered": "it waits for stock",
    "cancelled": "nothing of it may be shipped",
}


def check_order_state(number: str, state: str, live_shipments: Iterable[UUID], *, additional: bool) -> None:
    """Refuse a label for an order whose state, or whose labels, do not ask for one.

    Args:
        number: The order's number, for people.
        state: As last told by orders.
        live_shipments: Of this order, those that have or may have a label.
        additional: Whether one more label than the first is wanted.

    Raises:
        OrderNotShippableError: It is not reserved.
        AlreadyLabelledError: It has a label.
    """
    if state not in {"reserved", "ready_to_ship"}:
        reason = _REASONS.get(state, "only a reserved order is given a label")
        raise OrderNotShippableError(f"Order {number} is {state.replace('_', ' ')}: {reason}.", order_state=state)
    live = sorted(str(shipment_id) for shipment_id in live_shipments)
    if live and not additional:
        raise AlreadyLabelledError(
            f"Order {number} has a label already: void it first, or ask for one more label (`additional`).",
            shipments=live,
        )


def choose_lines(
    number: str, allocations: Iterable[Allocation], shipped: Iterable[tuple[str | None, Line]], wanted: str | None
) -> tuple[str | None, list[Line]]:
    """Return the warehouse a parcel leaves from and what is in it: what is allocated there and in no other shipment.

    Args:
        number: The order's number, for people.
        allocations: What is reserved for the order, where.
        shipped: Warehouse and line of each live shipment of the order.
        wanted: The warehouse the merchant named, if any.

    Raises:
        OrderNotShippableError: Nothing is allocated there, or the order lies in several warehouses and none was named.
    """
    every = list(allocations)
    left: dict[tuple[str, str], int] = {}
    for allocation in every:
        key = (allocation.warehouse_code, allocation.sku)
        left[key] = left.get(key, 0) + allocation.quantity
    for warehouse, line in shipped:
        key = (warehouse or "", line.sku)
        if key in left:
            left[key] = max(0, left[key] - line.quantity)
    warehouses = sorted({allocation.warehouse_code for allocation in every})
    if wanted is not None and every and wanted not in warehouses:
        raise OrderNotShippableError(
            f"Nothing of order {number} is allocated in {wanted}, but in {', '.join(warehouses)}.",
            warehouses=warehouses,
        )
    unshipped = sorted({warehouse for (warehouse, _), quantity in left.items() if quantity > 0})
    if wanted is None and len(unshipped) > 1:
        raise OrderNotShippableError(
            f"Order {number} lies in {', '.join(unshipped)}: buy one label for each, naming the warehouse "
            "(`warehouse_code`), and each after the first as one more label (`additional`).",
            warehouses=unshipped,
        )
    chosen = wanted or next(iter(unshipped or warehouses), None)
    lines = [Line(sku, quantity) for (place, sku), quantity in sorted(left.items()) if place == chosen and quantity > 0]
    return chosen, lines
