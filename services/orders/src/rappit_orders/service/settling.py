"""Tells the gateway's delivery log what became of a webhook."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import ValidationError
from rappit_common.messaging.events import PublishedEvent

from rappit_orders.messages import (
    ACCEPT_WEBHOOK,
    MAX_REASON_CHARACTERS,
    MAX_SETTLED_CHARACTERS,
    DeliverySettled,
    WebhookHeaders,
)

MAX_ERROR_TYPE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a delivery.

    Attributes:
        outcome: As the log names it.
        order_id: Of the order it told something; None when it told none.
        external_order_id: The channel's own id of that order.
        note: A sentence, where the outcome alone does not say it all.
        error_type: Stable name of the error that it died of.
        error_message: That error's words.
        is_new_order: Whether the order was not heard of before.
    """

    outcome: Literal["applied", "superseded", "duplicate", "ignored", "dead_lettered"]
    order_id: UUID | None = None
    external_order_id: str | None = None
    note: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    is_new_order: bool = False


def delivery_settled(
    headers: WebhookHeaders, message_id: object, settled: Settled, *, now: datetime
) -> DeliverySettled | None:
    """Return the event that tells it; None for a message without an id of the gateway's, which no log has."""
    known_id = _uuid(message_id)
    if known_id is None:
        return None
    return DeliverySettled(
        organization_id=headers.organization_id,
        channel_id=headers.channel_id,
        message_id=known_id,
        provider=headers.provider[:MAX_SETTLED_CHARACTERS],
        topic=headers.topic[:MAX_SETTLED_CHARACTERS],
        delivery_id=headers.delivery_id[:MAX_SETTLED_CHARACTERS],
        received_at=headers.received_at,
        outcome=settled.outcome,
        order_id=settled.order_id,
        external_order_id=_cut(settled.external_order_id, MAX_SETTLED_CHARACTERS),
        error_type=_cut(settled.error_type, MAX_ERROR_TYPE_CHARACTERS),
        error_message=_cut(settled.error_message, MAX_REASON_CHARACTERS),
        note=_cut(settled.note, MAX_REASON_CHARACTERS),
        settled_at=now,
    )


def announce_dead_letter(letter: Mapping[str, Any]) -> PublishedEvent | None:
    """Return what the world is told of a dead letter, when it was a webhook's.

    Args:
        letter: The row of the dead-letter table, with its queue, headers, message_id, error and last_failed_at.

    Returns:
        None for another queue's, and for a message that is none of the gateway's: no log has it.
    """
    if letter["queue"] != ACCEPT_WEBHOOK.queue:
        return None
    try:
        headers = WebhookHeaders.model_validate(letter["headers"])
    except ValidationError:
        return None
    settled = Settled("dead_lettered", error_type=letter["error_type"], error_message=letter["error_message"])
    return delivery_settled(headers, letter["message_id"], settled, now=letter["last_failed_at"])


def _cut(text: str | None, characters: int) -> str | None:
    return None if text is None else text[:characters]


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
