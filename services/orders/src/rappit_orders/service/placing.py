"""Takes orders that a merchant's own programs bring, without a channel."""

from datetime import datetime

from rappit_common.errors import ConflictError

from rappit_orders.domain.channels.standard import api_channel_of
from rappit_orders.domain.commands import Rank, ReceiveOrder
from rappit_orders.service import desk, intake
from rappit_orders.unit import OrdersUnit


class OrderExistsError(ConflictError):
    """An order of this id was placed before, by another request."""

    code = "order_exists"


async def place_order(
    unit: OrdersUnit, command: ReceiveOrder, *, actor: str, idempotency_key: str, now: datetime
) -> desk.OrderStory:
    """Take an order as a delivery of the organization's own channel: placed, changed or cancelled like any other.

    Raises:
        OrderExistsError: It shall be placed, and is there: another program means another order by this id, or this one
            forgot its key. Nothing was changed.
    """
    channel_id = api_channel_of(unit.organization_id)
    settled = await intake.accept_delivery(
        unit,
        command,
        channel_id=channel_id,
        actor=actor,
        now=now,
        cause={"channel_id": str(channel_id), "idempotency_key": idempotency_key},
    )
    assert settled.order_id is not None  # noqa: S101 - only a delivery that asks nothing of an order settles without one
    if command.stamp.rank is Rank.PLACED and not settled.is_new_order:
        raise OrderExistsError(
            f"The order {command.external_order_id} is known already. Send it as order.updated to change it, or give "
            "a new order an id of its own.",
            order_id=settled.order_id,
            external_order_id=command.external_order_id,
        )
    return await desk.tell_story(unit, settled.order_id)
