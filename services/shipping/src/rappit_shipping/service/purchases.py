"""Buying labels: what is written before a carrier is asked, and after."""

from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from rappit_common.clock import new_id

from rappit_shipping.domain.carrier import Address, Label, LabelFormat, LabelOrder, Parcel, Purchase
from rappit_shipping.domain.commands import BuyLabel
from rappit_shipping.domain.shipments import (
    Allocation,
    IdempotencyConflictError,
    Line,
    OrderNotShippableError,
    OrderUnknownError,
    ShipmentStatus,
    check_move,
    check_order_state,
    choose_lines,
    reference_of,
)
from rappit_shipping.messages import Cost, ShipmentChanged, ShippedLine
from rappit_shipping.models import CarrierAccount, FollowedOrder, Shipment, StoredLabel
from rappit_shipping.unit import ShippingUnit

_STATE_CODES = frozenset({"US", "CA"})


async def find_replay(unit: ShippingUnit, command: BuyLabel) -> Shipment | None:
    """Return the shipment that the request's idempotency key was first used for.

    Raises:
        IdempotencyConflictError: It was used for another request.
    """
    if command.idempotency_key is None:
        return None
    first = await unit.shipments.find_by_key(command.idempotency_key)
    if first is not None and first.request_hash != command.request_hash:
        raise IdempotencyConflictError(
            "This Idempotency-Key was used for another request: send a new key with a new request.",
            shipment_id=str(first.id),
        )
    return first


async def intend_purchase(
    unit: ShippingUnit, command: BuyLabel, account: CarrierAccount, *, now: datetime, look_at: datetime
) -> tuple[Shipment, bool]:
    """Write down that a label is about to be bought, before anybody is asked for one.

    Args:
        unit: The transaction.
        command: The merchant's wish.
        account: At which carrier, and from where.
        now: When.
        look_at: When the reconciler looks, should nothing more be written.

    Returns:
        The shipment, and whether it is new: False when the key's first request got here before.

    Raises:
        OrderNotShippableError: The order is unknown, or its state or address refuses a label.
        AlreadyLabelledError: It has one, and no additional one was asked for.
        IdempotencyConflictError: The key was used for another request.
    """
    # Lock: purchases for one order take turns, so that the second sees the first.
    order = await unit.orders.lock(command.order_id)
    first = await find_replay(unit, command)
    if first is not None:
        return first, False
    if order is None:
        raise OrderUnknownError(
            "Shipping knows no such order: check its id, or try again in a moment if it has just come in.",
            order_id=str(command.order_id),
        )
    live = await unit.shipments.live_of(command.order_id)
    check_order_state(order.number, order.state, [s.id for s in live], additional=command.additional)
    recipient = _recipient(order)
    warehouse_code, lines = choose_lines(
        order.number,
        [Allocation(**allocation) for allocation in order.allocations],
        [(s.warehouse_code, Line(**line)) for s in live for line in s.lines],
        command.warehouse_code,
    )
    shipment_id = new_id()
    shipment = Shipment(
        id=shipment_id,
        organization_id=unit.organization_id,
        order_id=command.order_id,
        order_number=order.number,
        carrier_account_id=account.id,
        carrier=account.carrier,
        status=ShipmentStatus.PURCHASING,
        version=0,
        reference=reference_of(shipment_id),
        idempotency_key=command.idempotency_key,
        request_hash=command.request_hash,
        service=command.service,
        warehouse_code=warehouse_code,
        label_format=command.label_format.value,
        parcels=[_told_parcel(parcel) for parcel in command.parcels],
        lines=[asdict(line) for line in lines],
        shipper=account.shipper,
        recipient=asdict(recipient),
        piece_numbers=[],
        needs_person=False,
        looks=0,
        next_look_at=look_at,
        created_by=command.actor,
        created_at=now,
    )
    unit.shipments.add(shipment)
    return shipment, True


def _told_parcel(parcel: Parcel) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in asdict(parcel).items()}


def _recipient(order: FollowedOrder) -> Address:
    address = order.shipping_address or {}
    needed = {"line1": "street", "city": "city", "country_code": "country"}
    if address.get("country_code") in _STATE_CODES:
        needed["region"] = "state"
    missing = [word for name, word in needed.items() if not address.get(name)]
    if not (address.get("name") or address.get("company")):
        missing.insert(0, "recipient's name")
    if missing:
        raise OrderNotShippableError(
            f"Order {order.number} has no {' and no '.join(missing)} in its shipping address: mend it in the channel, "
            "and the order follows.",
            missing=missing,
        )
    return Address(**address)


def label_order(shipment: Shipment) -> LabelOrder:
    """Return what a carrier is asked for a shipment."""
    return LabelOrder(
        reference=shipment.reference,
        service=shipment.service,
        shipper=Address(**shipment.shipper),
        recipient=Address(**shipment.recipient),
        parcels=tuple(_read_parcel(parcel) for parcel in shipment.parcels),
        label_format=LabelFormat(shipment.label_format),
    )


def _read_parcel(told: dict[str, Any]) -> Parcel:
    def size(name: str) -> Decimal | None:
        return None if told.get(name) is None else Decimal(told[name])

    return Parcel(Decimal(told["weight_kg"]), size("length_cm"), size("width_cm"), size("height_cm"))


async def record_purchase(unit: ShippingUnit, shipment_id: UUID, purchase: Purchase, *, now: datetime) -> Shipment:
    """Write down that a label was bought, with the carrier's whole answer, before anything is made of the label."""
    shipment = await unit.shipments.lock(shipment_id)
    check_move(shipment.status, ShipmentStatus.LABELLED)
    shipment.raw_response = purchase.raw
    shipment.piece_numbers = list(purchase.piece_numbers)
    if purchase.cost is not None:
        shipment.cost_amount, shipment.cost_currency = purchase.cost.amount, purchase.cost.currency
    label_bought(unit, shipment, purchase.tracking_number, now=now)
    return shipment


def label_bought(unit: ShippingUnit, shipment: Shipment, tracking_number: str, *, now: datetime) -> None:
    """Make a shipment labelled, and tell the others."""
    shipment.status = ShipmentStatus.LABELLED
    shipment.tracking_number = tracking_number
    shipment.purchased_at = now
    settled(shipment)
    announce(unit, shipment, "labelled", now=now)


def settled(shipment: Shipment) -> None:
    """Take a shipment out of the reconciler's and of people's care."""
    shipment.problem_code = shipment.problem = None
    shipment.needs_person = False
    shipment.next_look_at = None


def announce(unit: ShippingUnit, shipment: Shipment, status: str, *, now: datetime) -> None:
    """Tell the others what became of a shipment, with a version that is newer than any told before."""
    shipment.version += 1
    cost = None
    if shipment.cost_amount is not None and shipment.cost_currency is not None:
        cost = Cost(amount=amount_text(shipment), currency=shipment.cost_currency)
    unit.outbox.add(
        ShipmentChanged(
            organization_id=shipment.organization_id,
            shipment_id=shipment.id,
            order_id=shipment.order_id,
            shipment_version=shipment.version,
            status="labelled" if status == "labelled" else "voided",
            carrier=shipment.carrier,
            tracking_number=shipment.tracking_number or "",
            warehouse_code=shipment.warehouse_code,
            lines=[ShippedLine(**line) for line in shipment.lines],
            cost=cost,
            occurred_at=now,
        )
    )


def amount_text(shipment: Shipment) -> str:
    """Return a shipment's cost as a decimal string with at least two places."""
    amount = shipment.cost_amount
    if amount is None:
        return ""
    whole, _, places = format(amount, "f").partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


async def keep_label(unit: ShippingUnit, shipment_id: UUID, label: Label) -> None:
    """Store a label for printing and reprinting."""
    await unit.shipments.keep_label(
        StoredLabel(
            shipment_id=shipment_id,
            organization_id=unit.organization_id,
            media_type=label.media_type,
            content=label.content,
        )
    )


async def note_problem(unit: ShippingUnit, shipment_id: UUID, code: str, problem: str) -> Shipment:
    """Write a problem beside a shipment whose status stays as it is."""
    shipment = await unit.shipments.lock(shipment_id)
    shipment.problem_code, shipment.problem = code, problem
    return shipment


async def record_failure(unit: ShippingUnit, shipment_id: UUID, code: str, problem: str) -> Shipment:
    """Write down that nothing was bought, and why."""
    shipment = await unit.shipments.lock(shipment_id)
    check_move(shipment.status, ShipmentStatus.FAILED)
    shipment.status = ShipmentStatus.FAILED
    settled(shipment)
    shipment.problem_code, shipment.problem = code, problem
    return shipment


async def record_unknown(
    unit: ShippingUnit, shipment_id: UUID, problem: str, raw: dict[str, Any] | None, *, look_at: datetime | None
) -> Shipment:
    """Write down that a label may have been bought.

    Args:
        unit: The transaction.
        shipment_id: Which.
        problem: What happened, for people.
        raw: What the carrier answered, if it was JSON.
        look_at: When to look it up; None when only a person can tell.
    """
    shipment = await unit.shipments.lock(shipment_id)
    if shipment.status is not ShipmentStatus.OUTCOME_UNKNOWN:
        check_move(shipment.status, ShipmentStatus.OUTCOME_UNKNOWN)
    shipment.status = ShipmentStatus.OUTCOME_UNKNOWN
    if raw is not None:
        shipment.raw_response = raw
    shipment.problem_code, shipment.problem = "outcome_unknown", problem
    shipment.next_look_at, shipment.needs_person = look_at, look_at is None
    return shipment
