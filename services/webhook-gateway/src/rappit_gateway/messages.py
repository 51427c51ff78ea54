"""What the gateway tells the other services, and what it reads of what they say.

The body of ``gateway.webhook-received.v1`` is the webhook's own, byte for byte, so its contract is about its headers:
``contracts/gateway.webhook-received.v1/schema.json`` describes ``{"headers": {...}, "body": "..."}``.
"""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from rappit_common.messaging.events import ReceivedEvent
from rappit_common.messaging.topology import Subscription

from rappit_gateway.domain.deliveries import DeliveryOutcome, DeliveryStatus

WEBHOOK_RECEIVED = "gateway.webhook-received.v1"
RAW_CONTENT_TYPE = "application/octet-stream"
MAX_HEADER_CHARACTERS = 255


def _wire_name(field: str) -> str:
    return "traceparent" if field == "traceparent" else f"rappit-{field.replace('_', '-')}"


class WebhookReceivedHeaders(BaseModel):
    """The AMQP headers of one accepted webhook; all are text on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_wire_name, populate_by_name=True)

    organization_id: UUID
    channel_id: UUID
    provider: Literal["shopify", "woocommerce", "standard_webhooks", "generic_hmac"]
    topic: str = Field(
        max_length=MAX_HEADER_CHARACTERS,
        description='For example "orders/create" or "order.updated"; empty when the provider names it in the body.',
    )
    delivery_id: str = Field(
        max_length=MAX_HEADER_CHARACTERS, description="The provider's id of this delivery; may be empty or repeat."
    )
    dedupe_key: str = Field(
        min_length=1,
        max_length=600,
        description="Equal for two deliveries of the same fact by the same channel, for ever.",
    )
    source: str = Field(max_length=MAX_HEADER_CHARACTERS, description="Shop domain or site address; may be empty.")
    content_type: str = Field(max_length=MAX_HEADER_CHARACTERS, description="As the channel declared its body.")
    received_at: datetime = Field(description="When the gateway accepted it.")
    traceparent: str = Field(pattern=r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")


class WebhookReceived(BaseModel):
    """One message as the contract's examples show it.

    ``body`` is the raw body read as text; on the wire it is bytes, need not be JSON, and need not even be text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title=WEBHOOK_RECEIVED)

    event_name: ClassVar[str] = WEBHOOK_RECEIVED

    headers: WebhookReceivedHeaders
    body: str


class DeliverySettled(ReceivedEvent):
    """What orders says became of a webhook, as far as the log cares."""

    channel_id: UUID
    message_id: UUID
    provider: str
    topic: str = ""
    delivery_id: str = ""
    received_at: datetime
    outcome: Literal["applied", "superseded", "duplicate", "ignored", "dead_lettered"]
    order_id: UUID | None = None
    external_order_id: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    note: str | None = None
    settled_at: datetime

    def to_outcome(self, trace_id: str | None) -> DeliveryOutcome:
        """Return it as the log keeps it."""
        return DeliveryOutcome(
            message_id=self.message_id,
            channel_id=self.channel_id,
            provider=self.provider,
            topic=self.topic,
            delivery_id=self.delivery_id,
            received_at=self.received_at,
            status=DeliveryStatus(self.outcome),
            cause=self.error_type,
            detail=self.error_message or self.note,
            external_order_id=self.external_order_id,
            order_id=self.order_id,
            settled_at=self.settled_at,
            trace_id=trace_id,
        )


NOTE_OUTCOME = Subscription("webhook-gateway.note-outcome", ("orders.delivery-settled.v1",), DeliverySettled)
