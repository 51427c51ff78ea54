"""Giving labels back, and settling what no carrier can tell."""

from datetime import datetime
from uuid import UUID

from rappit_shipping.domain.commands import Settle
from rappit_shipping.domain.shipments import IllegalTransitionError, ShipmentStatus, check_move
from rappit_shipping.models import Shipment
from rappit_shipping.service.purchases import announce, label_bought, settled
from rappit_shipping.unit import ShippingUnit

_SETTLES = {
    "bought": {ShipmentStatus.OUTCOME_UNKNOWN},
    "not_bought": {ShipmentStatus.OUTCOME_UNKNOWN},
    "voided": {ShipmentStatus.VOID_PENDING},
    "not_voided": {ShipmentStatus.VOID_PENDING},
}


async def intend_void(unit: ShippingUnit, shipment_id: UUID, *, look_at: datetime) -> tuple[Shipment, bool]:
    """Write down that a label is about to be given back.

    Returns:
        The shipment, and whether the carrier is to be asked: False when it is voided already.

    Raises:
        IllegalTransitionError: It has no label, or another void is under way.
    """
    shipment = await unit.shipments.lock(shipment_id)
    if shipment.status == ShipmentStatus.VOIDED:
        return shipment, False
    check_move(shipment.status, ShipmentStatus.VOID_PENDING)
    shipment.status = ShipmentStatus.VOID_PENDING
    shipment.looks, shipment.next_look_at = 0, look_at
    return shipment, True


async def record_void(unit: ShippingUnit, shipment_id: UUID, *, now: datetime) -> Shipment:
    """Write down that the carrier took the label back, and tell the others; once, whoever learns it first."""
    shipment = await unit.shipments.lock(shipment_id)
    if shipment.status == ShipmentStatus.VOIDED:
        return shipment
    check_move(shipment.status, ShipmentStatus.VOIDED)
    was_told = shipment.version > 0
    shipment.status, shipment.voided_at = ShipmentStatus.VOIDED, now
    settled(shipment)
    if was_told:
        announce(unit, shipment, "voided", now=now)
    return shipment


async def record_void_refused(unit: ShippingUnit, shipment_id: UUID, code: str, problem: str) -> Shipment:
    """Write down that the label is live still, and why."""
    shipment = await unit.shipments.lock(shipment_id)
    check_move(shipment.status, ShipmentStatus.LABELLED)
    shipment.status = ShipmentStatus.LABELLED
    settled(shipment)
    shipment.problem_code, shipment.problem = code, problem
    return shipment


async def record_void_unknown(
    unit: ShippingUnit, shipment_id: UUID, problem: str, *, look_at: datetime | None
) -> Shipment:
    """Write down that the label may have been given back."""
    shipment = await unit.shipments.lock(shipment_id)
    shipment.problem_code, shipment.problem = "outcome_unknown", problem
    shipment.next_look_at, shipment.needs_person = look_at, look_at is None
    return shipment


async def settle(unit: ShippingUnit, command: Settle, *, now: datetime) -> Shipment:
    """Take a person's word for an outcome that the carrier could not tell; kept in the audit log.

    Raises:
        IllegalTransitionError: The shipment's outcome is known, or the verdict is not about what is unknown.
    """
    shipment = await unit.shipments.lock(command.shipment_id)
    status = shipment.status
    if status not in _SETTLES[command.verdict]:
        raise IllegalTransitionError(
            f"The shipment is {status.value.replace('_', ' ')}: there is nothing to settle with {command.verdict!r}.",
            shipment_status=status.value,
        )
    await unit.audit(
        command.actor,
        f"shipment.settled.{command.verdict}",
        command.reason,
        organization_id=unit.organization_id,
        shipment_id=str(shipment.id),
        tracking_number=command.tracking_number,
    )
    match command.verdict:
        case "bought":
            label_bought(unit, shipment, command.tracking_number or "", now=now)
        case "not_bought":
            shipment.status = ShipmentStatus.FAILED
            settled(shipment)
            shipment.problem_code, shipment.problem = "not_bought", f"{command.actor}: {command.reason}"
        case "voided":
            await record_void(unit, shipment.id, now=now)
        case "not_voided":
            await record_void_refused(unit, shipment.id, "not_voided", f"{command.actor}: {command.reason}")
    return shipment
