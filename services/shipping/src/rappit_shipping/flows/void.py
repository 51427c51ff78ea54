"""Giving a label back: pending committed, carrier asked outside of any transaction, success only when it says so."""

from uuid import UUID

from rappit_common.errors import RappitError
from rappit_common.logs import get_logger

from rappit_shipping.carriers.guarded import GuardedCarrier
from rappit_shipping.domain.carrier import Credentials, NotSent, OutcomeUnknown, Refused
from rappit_shipping.domain.shipments import (
    NotBoughtError,
    ShipmentStatus,
    VoidRefusedError,
    VoidUnsupportedError,
)
from rappit_shipping.flows.desk import Desk, unknown_outcome
from rappit_shipping.flows.tasks import ShieldedTasks
from rappit_shipping.models import Shipment
from rappit_shipping.service import voids
from rappit_shipping.service.accounts import credentials_of

RETRY_AFTER_S = 5

_log = get_logger()


async def void_shipment(desk: Desk, tasks: ShieldedTasks, organization_id: UUID, shipment_id: UUID) -> Shipment:
    """Give a label back; repeating it for a voided shipment returns that.

    Raises:
        VoidUnsupportedError: This carrier takes none back.
        VoidRefusedError: The carrier did not, in these words.
        NotBoughtError: It was not reached; the label is live still.
        OutcomeUnknownError: It may have taken the label back.
        IllegalTransitionError: There is no label to give back, or a void is under way.
    """
    async with desk.units.begin(organization_id) as unit:
        shipment = await unit.shipments.find(shipment_id)
        account = await unit.accounts.get(shipment.carrier_account_id)
    if shipment.status == ShipmentStatus.VOIDED:
        return shipment
    carrier = desk.carrier(shipment.carrier)
    if not carrier.can_void:
        raise VoidUnsupportedError(
            f"{carrier.name} takes no label back: do not hand the parcel over, and it is not charged.",
            carrier=carrier.code,
        )
    await carrier.check_available()
    async with desk.units.begin(organization_id) as unit:
        shipment, is_asked = await voids.intend_void(unit, shipment_id, look_at=desk.stale_at())
    if not is_asked:
        return shipment
    return await tasks.run(ask_for_void(desk, carrier, credentials_of(account, desk.box), shipment))


async def ask_for_void(
    desk: Desk, carrier: GuardedCarrier, credentials: Credentials, shipment: Shipment, looks: int = 0
) -> Shipment:
    """Ask the carrier to take back the label of a shipment whose void is pending, and write down what came of it.

    Args:
        desk: Where.
        carrier: Whose label it is.
        credentials: Of its account.
        shipment: Already ``void_pending``.
        looks: How often this was looked at already.
    """
    organization_id, shipment_id, told = shipment.organization_id, shipment.id, str(shipment.id)
    try:
        await carrier.void(credentials, shipment.tracking_number or "")
    except Refused as refused:
        await _stays(desk, shipment, "void_refused", refused.detail)
        raise VoidRefusedError(refused.detail, shipment_id=told, carrier=carrier.code) from None
    except NotSent as failure:
        await _stays(desk, shipment, "carrier_unavailable", failure.detail)
        raise NotBoughtError(
            f"{failure.detail} The label is not voided: try again.",
            shipment_id=told,
            carrier=carrier.code,
            retry_after_s=failure.retry_after_s or RETRY_AFTER_S,
        ) from None
    except OutcomeUnknown as failure:
        _log.warning("void_outcome_unknown", carrier=carrier.code, shipment_id=told, detail=failure.detail)
        problem, look_at = failure.detail, desk.next_look(looks)
        await desk.record(
            organization_id, lambda unit: voids.record_void_unknown(unit, shipment_id, problem, look_at=look_at)
        )
        what = f"Whether {carrier.name} voided shipment {told} is unknown."
        raise unknown_outcome(failure, what, shipment_id, can_find=True) from None
    except RappitError as refusal:
        await _stays(desk, shipment, refusal.code, refusal.message)
        raise
    _log.info("label_voided", carrier=carrier.code, shipment_id=told, tracking_number=shipment.tracking_number)
    return await desk.record(organization_id, lambda unit: voids.record_void(unit, shipment_id, now=desk.now()))


async def _stays(desk: Desk, shipment: Shipment, code: str, problem: str) -> None:
    await desk.record(
        shipment.organization_id, lambda unit: voids.record_void_refused(unit, shipment.id, code, problem)
    )
