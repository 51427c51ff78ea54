"""Takes what channels deliver."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from rappit_common.clock import new_id
from rappit_common.logs import get_logger

from rappit_orders.domain.commands import Command, Ignored, ReceiveOrder, RemoveOrder
from rappit_orders.domain.order import Happening, Order, Outcome
from rappit_orders.domain.values import OrderContent
from rappit_orders.service.publishing import Told, record
from rappit_orders.service.settling import Settled
from rappit_orders.unit import OrdersUnit

_log = get_logger()


async def accept_delivery(
    unit: OrdersUnit, command: Command, *, channel_id: UUID, actor: str, now: datetime, cause: Mapping[str, Any]
) -> Settled:
    """Do what a channel's delivery asks, once the adapter has understood it.

    Args:
        unit: The transaction.
        command: What the delivery asks.
        channel_id: Whose it is.
        actor: The channel's kind, for the timeline.
        now: Our time.
        cause: The delivery's ids and topic, for the timeline.

    Returns:
        What became of it, for the gateway's log.
    """
    if isinstance(command, Ignored):
        ignored = Happening("delivery_ignored", f"A delivery was ignored: {command.reason}.", actor)
        await unit.timeline.append(None, [ignored], at=now, cause=cause)
        _log.info("delivery_ignored", channel_id=str(channel_id), reason=command.reason)
        return Settled("ignored", note=ignored.message)
    order = _unheard_of(command, channel_id, now)
    told = Told.of(order)
    outcome = _tell(order, command, actor, now)
    is_new = await unit.orders.insert_new(order, now=now)
    if not is_new:
        # It is known: tell the one we have, under its lock, since another delivery may be telling it too.
        order = await unit.orders.lock_external(channel_id, command.external_order_id)
        told = Told.of(order)
        outcome = _tell(order, command, actor, now)
        await unit.orders.save(order)
    await record(unit, order, told, now=now, cause=cause)
    _log.info("delivery_accepted", order_id=str(order.id), outcome=outcome.value, state=order.state.value)
    return _settled(order, outcome, is_new=is_new)


def _settled(order: Order, outcome: Outcome, *, is_new: bool) -> Settled:
    # What says only what is known already is as true of the order as what taught it.
    note = "The order was so already." if outcome is Outcome.UNCHANGED else None
    kind = "superseded" if outcome is Outcome.SUPERSEDED else "applied"
    return Settled(kind, order.id, order.external_order_id, note, is_new_order=is_new)


def _unheard_of(command: ReceiveOrder | RemoveOrder, channel_id: UUID, now: datetime) -> Order:
    nothing = OrderContent.unknown(command.external_order_id, now)
    return Order(new_id(), channel_id, command.external_order_id, nothing, updated_at=now)


def _tell(order: Order, command: ReceiveOrder | RemoveOrder, actor: str, now: datetime) -> Outcome:
    if isinstance(command, RemoveOrder):
        return order.remove(command, actor=actor, now=now)
    return order.receive(command, actor=actor, now=now)
