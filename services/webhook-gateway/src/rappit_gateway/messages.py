"""What the gateway tells the other services.

The body of ``gateway.webhook-received.v1`` is the webhook's own, byte for byte, so its contract is about its headers:
``contracts/gateway.webhook-received.v1/schema.json`` describes ``{"headers": {...}, "body": "..."}``.
"""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

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
