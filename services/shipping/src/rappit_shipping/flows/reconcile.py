"""Looking up what became of purchases and voids whose outcome is unknown; nothing is ever bought here."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from rappit_common.errors import RappitError
from rappit_common.logs import get_logger

from rappit_shipping.carriers.guarded import GuardedCarrier
from rappit_shipping.domain.carrier import CarrierFailure, Credentials, Found, VoidState
from rappit_shipping.domain.shipments import ShipmentStatus
from rappit_shipping.flows.desk import Desk
from rappit_shipping.flows.void import ask_for_void
from rappit_shipping.models import Shipment
from rappit_shipping.service import purchases, voids
from rappit_shipping.service.accounts import credentials_of
from rappit_shipping.unit import ShippingUnit

BATCH = 20
CLAIM_S = 300

_log = get_logger()


class Reconciler:
    """The worker's part that looks after unsettled shipments.

    Args:
        desk: Where.
        poll_s: How often it asks the database for what is due, in seconds.
    """

    def __init__(self, desk: Desk, poll_s: float) -> None:
        self._desk = desk
        self._poll_s = poll_s
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="reconciler")

    async def stop(self) -> None:
        """End; what was claimed and not finished is due again in a few minutes."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                handled = await reconcile_due(self._desk)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next round may do better; it is in the log
                _log.warning("reconciler_failed", error=f"{type(error).__name__}: {error}")
                handled = 0
            if handled < BATCH:
                await asyncio.sleep(self._poll_s)


async def reconcile_due(desk: Desk) -> int:
    """Look at up to 20 shipments that are due, of all organizations. Returns how many."""
    now = desk.now()
    async with desk.units.bypass_tenancy("reconciler: which unsettled shipments are due") as unit:
        due = await unit.shipments.claim_due(now, now + timedelta(seconds=CLAIM_S), BATCH)
    for organization_id, shipment_id in due:
        try:
            await look_at(desk, organization_id, shipment_id)
        except Exception as error:  # noqa: BLE001 - one shipment's trouble must not hold up the others; it is in the log
            _log.error("reconcile_failed", shipment_id=str(shipment_id), exc_info=error)
    return len(due)


async def look_at(desk: Desk, organization_id: UUID, shipment_id: UUID) -> None:
    """Look up one unsettled shipment at its carrier and write down what is found."""
    async with desk.units.begin(organization_id) as unit:
        shipment = await unit.shipments.lock(shipment_id)
        status = shipment.status
        shipment.looks += 1
        account = await unit.accounts.get(shipment.carrier_account_id)
    carrier, credentials = desk.carrier(shipment.carrier), credentials_of(account, desk.box)
    if status in {ShipmentStatus.PURCHASING, ShipmentStatus.OUTCOME_UNKNOWN}:
        await _look_for_purchase(desk, carrier, credentials, shipment)
    elif status is ShipmentStatus.VOID_PENDING:
        await _look_for_void(desk, carrier, credentials, shipment)


async def _look_for_purchase(desk: Desk, carrier: GuardedCarrier, credentials: Credentials, shipment: Shipment) -> None:
    look_next = desk.next_look(shipment.looks)
    if not carrier.can_find:
        problem = (
            f"{carrier.name} cannot be asked whether it sold a label under reference {shipment.reference}. "
            "Look in its portal, then settle the shipment."
        )
        await _still_unknown(desk, shipment, problem, again=False)
        return
    try:
        found = await carrier.find(credentials, shipment.reference)
    except (CarrierFailure, RappitError) as failure:
        await _still_unknown(desk, shipment, f"{carrier.name} could not be asked: {failure}", again=True)
        return
    if found is not None:
        await _found(desk, carrier, shipment, found)
    elif look_next is not None:
        # Not yet: a label may take a while to be searchable.
        await _still_unknown(desk, shipment, f"{carrier.name} knows of no such shipment yet.", again=True)
    else:
        problem = (
            f"{carrier.name} was asked {shipment.looks} times and knows of no shipment under reference "
            f"{shipment.reference}: nothing was bought. Try again."
        )
        _log.info("purchase_reconciled", shipment_id=str(shipment.id), outcome="not_bought")
        await desk.record(
            shipment.organization_id, lambda unit: purchases.record_failure(unit, shipment.id, "not_bought", problem)
        )


async def _still_unknown(desk: Desk, shipment: Shipment, problem: str, *, again: bool) -> None:
    look_next = desk.next_look(shipment.looks) if again else None
    if look_next is None:
        _log.warning("shipment_needs_person", shipment_id=str(shipment.id), problem=problem)
    await desk.record(
        shipment.organization_id,
        lambda unit: purchases.record_unknown(unit, shipment.id, problem, None, look_at=look_next),
    )


async def _found(desk: Desk, carrier: GuardedCarrier, shipment: Shipment, found: Found) -> None:
    outcome = "voided" if found.is_voided else "bought"
    _log.info(
        "purchase_reconciled",
        shipment_id=str(shipment.id),
        outcome=outcome,
        tracking_number=found.tracking_number,
    )
    problem = (
        f"{carrier.name} sold this label but its answer was lost, and it shows a label only once: print it from the "
        "carrier's portal, or void it and buy another."
    )

    async def write(unit: ShippingUnit) -> None:
        bought = await unit.shipments.lock(shipment.id)
        if bought.status not in {ShipmentStatus.PURCHASING, ShipmentStatus.OUTCOME_UNKNOWN}:
            return
        if found.is_voided:
            bought.tracking_number = found.tracking_number
            await voids.record_void(unit, shipment.id, now=desk.now())
            return
        purchases.label_bought(unit, bought, found.tracking_number, now=desk.now())
        bought.problem_code, bought.problem = "label_lost", problem

    await desk.record(shipment.organization_id, write)


async def _look_for_void(desk: Desk, carrier: GuardedCarrier, credentials: Credentials, shipment: Shipment) -> None:
    number, bought_at = shipment.tracking_number or "", shipment.purchased_at or shipment.created_at
    try:
        state = await carrier.void_state(credentials, number, bought_at=bought_at, now=desk.now())
    except (CarrierFailure, RappitError) as failure:
        await _void_unclear(desk, shipment, f"{carrier.name} could not be asked: {failure}")
        return
    if state is VoidState.VOIDED:
        _log.info("void_reconciled", shipment_id=str(shipment.id), tracking_number=number)
        await desk.record(shipment.organization_id, lambda unit: voids.record_void(unit, shipment.id, now=desk.now()))
    elif state is VoidState.LIVE:
        # It was not carried out, so asking again is no double: a label can be given back only once.
        with suppress(RappitError):
            await ask_for_void(desk, carrier, credentials, shipment, shipment.looks)
    else:
        await _void_unclear(desk, shipment, f"{carrier.name} does not tell whether the label was voided.")


async def _void_unclear(desk: Desk, shipment: Shipment, problem: str) -> None:
    look_next = desk.next_look(shipment.looks)
    await desk.record(
        shipment.organization_id,
        lambda unit: voids.record_void_unknown(unit, shipment.id, problem, look_at=look_next),
    )
