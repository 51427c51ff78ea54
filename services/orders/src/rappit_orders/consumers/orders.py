"""The service's three queues."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated

from faststream import Context
from faststream.rabbit import RabbitMessage, RabbitRouter
from rappit_common.clock import utc_now
from rappit_common.logs import get_logger
from rappit_common.unit_of_work import UnitsOfWork

from rappit_orders.domain.commands import Command, Ignored
from rappit_orders.messages import (
    ACCEPT_WEBHOOK,
    APPLY_RESERVATION,
    FOLLOW_SHIPMENTS,
    ReservationAnswer,
    ShipmentNews,
    WebhookHeaders,
    read_webhook,
)
from rappit_orders.service import following, intake
from rappit_orders.service.settling import Settled, delivery_settled
from rappit_orders.unit import OrdersUnit

Units = Annotated[UnitsOfWork[OrdersUnit], Context("units")]

_log = get_logger()


def make_router() -> RabbitRouter:
    """Return the service's subscribers."""
    router = RabbitRouter()
    router.subscriber(ACCEPT_WEBHOOK.as_faststream())(accept_webhook)
    router.subscriber(APPLY_RESERVATION.as_faststream())(apply_reservation)
    router.subscriber(FOLLOW_SHIPMENTS.as_faststream())(follow_shipments)
    return router


def dedupe_claim(headers: WebhookHeaders) -> str:
    """Return the inbox's name for the fact a webhook carries: the channel's key is of any length, this is not."""
    return f"{headers.channel_id}:{sha256(headers.dedupe_key.encode()).hexdigest()}"


async def accept_webhook(message: RabbitMessage, units: Units) -> None:
    """Turn a channel's delivery into its order, and tell the gateway's log; a repeated delivery is told and no more.

    Raises:
        ValidationError: The gateway's headers are not as its contract says: dead-lettered.
        InvalidDeliveryError: The body is not what its topic says: dead-lettered, with the field's name.
    """
    headers, command = read_webhook(message.headers, message.body)
    key, now = dedupe_claim(headers), utc_now()
    async with units.begin(headers.organization_id) as unit:
        # Both in one statement: a redelivery repeats the message's id, a channel's retry repeats only its key.
        claimed = await unit.inbox.claim_many(ACCEPT_WEBHOOK.queue, [message.message_id, key])
        if message.message_id not in claimed:
            # What became of it was told when it was claimed.
            _log.info("message_repeated", channel_id=str(headers.channel_id), delivery_id=headers.delivery_id)
            return
        if key in claimed:
            settled = await _accept(unit, command, headers, message, now)
        else:
            _log.info("delivery_repeated", channel_id=str(headers.channel_id), delivery_id=headers.delivery_id)
            settled = Settled(
                "duplicate", external_order_id=None if isinstance(command, Ignored) else command.external_order_id
            )
        event = delivery_settled(headers, message.message_id, settled, now=now)
        if event is not None:
            unit.outbox.add(event)


async def _accept(
    unit: OrdersUnit, command: Command, headers: WebhookHeaders, message: RabbitMessage, now: datetime
) -> Settled:
    return await intake.accept_delivery(
        unit,
        command,
        channel_id=headers.channel_id,
        actor=headers.provider,
        now=now,
        cause={
            "channel_id": str(headers.channel_id),
            "topic": headers.topic,
            "delivery_id": headers.delivery_id,
            "message_id": str(message.message_id),
        },
    )


async def apply_reservation(event: ReservationAnswer, message: RabbitMessage, units: Units) -> None:
    """Move an order to where its stock is."""
    async with units.begin(event.organization_id) as unit:
        if not await unit.inbox.claim(APPLY_RESERVATION.queue, message.message_id):
            return
        cause = {"message_id": str(message.message_id)}
        await following.apply_reservation(unit, event.to_command(), now=utc_now(), cause=cause)


async def follow_shipments(event: ShipmentNews, message: RabbitMessage, units: Units) -> None:
    """Follow what became of an order's parcels."""
    async with units.begin(event.organization_id) as unit:
        if not await unit.inbox.claim(FOLLOW_SHIPMENTS.queue, message.message_id):
            return
        cause = {"message_id": str(message.message_id)}
        await following.follow_shipment(unit, event.to_command(), now=utc_now(), cause=cause)
