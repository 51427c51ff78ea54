"""Follows what inventory and shipping make of an order."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rappit_common.logs import get_logger

from rappit_orders.domain.commands import ApplyReservation, FollowShipment
from rappit_orders.domain.order import Outcome
from rappit_orders.service.publishing import Told, record
from rappit_orders.unit import OrdersUnit

_log = get_logger()


async def apply_reservation(
    unit: OrdersUnit, command: ApplyReservation, *, now: datetime, cause: Mapping[str, Any]
) -> Outcome:
    """Move an order to where its stock is; an answer to an older demand, or an older answer, moves nothing.

    Raises:
        OrderNotFoundError: No such order for this tenant.
    """
    # Lock: an edit may change the demand while its answer is under way, and must not be answered by it.
    order = await unit.orders.lock(command.order_id)
    told = Told.of(order)
    outcome = order.apply_reservation(command, now=now)
    if outcome is Outcome.SUPERSEDED:
        _log.info("reservation_superseded", order_id=str(order.id), answered_version=command.order_version)
        return outcome
    await unit.orders.save(order)
    await record(unit, order, told, now=now, cause=cause)
    return outcome


async def follow_shipment(
    unit: OrdersUnit, command: FollowShipment, *, now: datetime, cause: Mapping[str, Any]
) -> Outcome:
    """Make an order ready to ship when a label was bought, and take that back when the last label is voided.

    Raises:
        OrderNotFoundError: No such order for this tenant.
    """
    order = await unit.orders.lock(command.order_id)
    told = Told.of(order)
    outcome = order.follow_shipment(command, now=now)
    if outcome is Outcome.SUPERSEDED:
        _log.info("shipment_superseded", order_id=str(order.id), shipment_id=str(command.shipment.shipment_id))
        return outcome
    await unit.orders.save(order)
    await record(unit, order, told, now=now, cause=cause)
    return outcome
