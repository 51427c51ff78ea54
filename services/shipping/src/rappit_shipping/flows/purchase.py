"""Buying a label: intent committed, carrier asked outside of any transaction, outcome committed."""

import asyncio
import time
from uuid import UUID

from rappit_common.errors import RappitError
from rappit_common.logs import get_logger
from sqlalchemy.exc import IntegrityError

from rappit_shipping.carriers.guarded import GuardedCarrier
from rappit_shipping.domain.carrier import (
    Credentials,
    LabelFormat,
    LabelOrder,
    LabelUnreadableError,
    NotSent,
    OutcomeUnknown,
    Purchase,
    Refused,
)
from rappit_shipping.domain.commands import BuyLabel
from rappit_shipping.domain.shipments import (
    CarrierRefusedError,
    NotBoughtError,
    OrderNotShippableError,
    OrderUnknownError,
)
from rappit_shipping.flows.desk import Desk, unknown_outcome
from rappit_shipping.flows.tasks import ShieldedTasks
from rappit_shipping.models import Shipment
from rappit_shipping.service import purchases
from rappit_shipping.service.accounts import credentials_of

CATCH_UP_POLL_S = 0.05
RETRY_AFTER_S = 5

_log = get_logger()


async def buy_label(
    desk: Desk, tasks: ShieldedTasks, organization_id: UUID, command: BuyLabel
) -> tuple[Shipment, bool]:
    """Buy a label for an order.

    Returns:
        The shipment, and whether this request bought it: False for a repeated idempotency key.

    Raises:
        CarrierUnavailableError: The carrier's breaker is open; nothing was written or sent.
        CarrierRefusedError: The carrier said no, in these words.
        NotBoughtError: It was not reached; nothing was bought.
        OutcomeUnknownError: It may have sold a label.
        OrderNotShippableError: See ``purchases.intend_purchase``, also for others.
    """
    async with desk.units.begin(organization_id) as unit:
        first = await purchases.find_replay(unit, command)
        if first is not None:
            return first, False
        account = await unit.accounts.get(command.carrier_account_id)
    carrier = desk.carrier(account.carrier)
    # Before anything is written: while a carrier is away its merchants are told so at once, and may use the same key.
    await carrier.check_available()
    shipment, is_new = await _intend(desk, organization_id, command)
    if not is_new:
        return shipment, False
    work = _purchase(desk, carrier, credentials_of(account, desk.box), shipment)
    return await tasks.run(work), True


async def _intend(desk: Desk, organization_id: UUID, command: BuyLabel) -> tuple[Shipment, bool]:
    deadline_s = time.monotonic() + desk.patience.catch_up_s
    while True:
        try:
            async with desk.units.begin(organization_id) as unit:
                account = await unit.accounts.get(command.carrier_account_id)
                return await purchases.intend_purchase(unit, command, account, now=desk.now(), look_at=desk.stale_at())
        except OrderNotShippableError as error:
            # The caller may know of the order, or of its stock, a moment before its event reaches us.
            is_behind = isinstance(error, OrderUnknownError) or error.fields.get("order_state") == "received"
            if not is_behind or time.monotonic() >= deadline_s:
                raise
        except IntegrityError:
            # The same key for another order, at the same moment: the other one is there now.
            async with desk.units.begin(organization_id) as unit:
                first = await purchases.find_replay(unit, command)
            if first is None:
                raise
            return first, False
        await asyncio.sleep(CATCH_UP_POLL_S)


async def _purchase(desk: Desk, carrier: GuardedCarrier, credentials: Credentials, intent: Shipment) -> Shipment:
    purchase = await _ask(desk, carrier, credentials, intent)
    # In the log first: should the database stay away, this line and the carrier still know of the label.
    _log.info(
        "label_bought",
        carrier=carrier.code,
        shipment_id=str(intent.id),
        order_id=str(intent.order_id),
        tracking_number=purchase.tracking_number,
    )
    shipment = await desk.record(
        intent.organization_id, lambda unit: purchases.record_purchase(unit, intent.id, purchase, now=desk.now())
    )
    return await _keep_label(desk, carrier, shipment, purchase)


async def _ask(desk: Desk, carrier: GuardedCarrier, credentials: Credentials, intent: Shipment) -> Purchase:
    order: LabelOrder = purchases.label_order(intent)
    told = str(intent.id)
    try:
        return await carrier.buy_label(credentials, order)
    except Refused as refused:
        await _failed(desk, intent, "carrier_refused", refused.detail)
        raise CarrierRefusedError(refused.detail, shipment_id=told, carrier=carrier.code) from None
    except NotSent as failure:
        await _failed(desk, intent, "carrier_unavailable", failure.detail)
        raise NotBoughtError(
            f"{failure.detail} Nothing was bought: try again, with a new Idempotency-Key.",
            shipment_id=told,
            carrier=carrier.code,
            retry_after_s=failure.retry_after_s or RETRY_AFTER_S,
        ) from None
    except OutcomeUnknown as failure:
        await _unknown(desk, carrier, intent, failure)
        what = f"Whether {carrier.name} sold a label for shipment {told} is unknown."
        raise unknown_outcome(failure, what, intent.id, can_find=carrier.can_find) from None
    except RappitError as refusal:
        # Our own: the breaker opened meanwhile, no slot came free, or the parcel cannot be described.
        await _failed(desk, intent, refusal.code, refusal.message)
        refusal.fields.setdefault("shipment_id", told)
        raise
    except Exception as error:
        failure = OutcomeUnknown(f"The call to {carrier.name} failed in an unforeseen way ({type(error).__name__}).")
        _log.error("purchase_broke", shipment_id=told, exc_info=error)
        await _unknown(desk, carrier, intent, failure)
        raise


async def _failed(desk: Desk, intent: Shipment, code: str, problem: str) -> None:
    await desk.record(intent.organization_id, lambda unit: purchases.record_failure(unit, intent.id, code, problem))


async def _unknown(desk: Desk, carrier: GuardedCarrier, intent: Shipment, failure: OutcomeUnknown) -> None:
    _log.warning("purchase_outcome_unknown", carrier=carrier.code, shipment_id=str(intent.id), detail=failure.detail)
    look_at = desk.next_look(0) if carrier.can_find else None
    await desk.record(
        intent.organization_id,
        lambda unit: purchases.record_unknown(unit, intent.id, failure.detail, failure.raw, look_at=look_at),
    )


async def _keep_label(desk: Desk, carrier: GuardedCarrier, shipment: Shipment, purchase: Purchase) -> Shipment:
    try:
        # Several labels are bundled into one document, which takes CPU time.
        label = await asyncio.to_thread(carrier.read_label, purchase.raw, LabelFormat(shipment.label_format))
    except LabelUnreadableError as error:
        problem = f"{error} It was bought all the same: print it from the carrier's portal, or void it."
        _log.error("label_unreadable", carrier=carrier.code, shipment_id=str(shipment.id), error=str(error))
        return await desk.record(
            shipment.organization_id,
            lambda unit: purchases.note_problem(unit, shipment.id, "label_unreadable", problem),
        )
    await desk.record(shipment.organization_id, lambda unit: purchases.keep_label(unit, shipment.id, label))
    return shipment
