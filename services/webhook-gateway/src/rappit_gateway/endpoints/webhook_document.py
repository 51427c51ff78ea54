"""``POST /webhooks/{channel_id}`` as the API's document tells it; ``webhooks.py`` answers it, in front of the app."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from rappit_common.errors import TooManyRequestsError
from rappit_common.web.problems import errors

from rappit_gateway.domain.signatures import (
    BadSignatureError,
    ExpiredTimestampError,
    MissingSignatureError,
    WrongSourceError,
)
from rappit_gateway.endpoints.admission import QuotaExceededError
from rappit_gateway.endpoints.webhooks import (
    BusyError,
    ChannelsAwayError,
    GoneChannelError,
    MethodError,
    SlowBodyError,
    UnknownChannelError,
    WebhookTooLargeError,
)
from rappit_gateway.service.acceptance import NotAcceptedError

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


class WebhookAccepted(BaseModel):
    """The webhook is durably stored."""

    id: UUID


_SIGNATURES = {
    "X-Shopify-Hmac-Sha256": "Shopify: base64 of HMAC-SHA256 over the body",
    "X-WC-Webhook-Signature": "WooCommerce: base64 of HMAC-SHA256 over the body",
    "webhook-signature": (
        "Standard Webhooks: of `id.timestamp.body`, `v1,` and base64 of HMAC-SHA256, or `v1a,` and base64 of ed25519;"
        " several are separated by blanks"
    ),
    "webhook-id": "Standard Webhooks: signed with the body",
    "webhook-timestamp": "Standard Webhooks: seconds of the epoch, at most five minutes from now",
    "X-Signature": "Generic HMAC: as the channel's `hmac` options say, which may name another header",
}
# Written by hand: parameters of a function would promise the 422 of a validation that does not take place.
_REQUEST: dict[str, Any] = {
    "parameters": [
        {"name": "channel_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
        *(
            {"name": name, "in": "header", "description": told, "schema": {"type": "string"}}
            for name, told in _SIGNATURES.items()
        ),
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
}


@router.post(
    "/{channel_id}",  # noqa: FAST003 - described in _REQUEST
    responses=errors(
        MissingSignatureError,
        BadSignatureError,
        ExpiredTimestampError,
        WrongSourceError,
        UnknownChannelError,
        GoneChannelError,
        WebhookTooLargeError,
        SlowBodyError,
        MethodError,
        TooManyRequestsError,
        QuotaExceededError,
        BusyError,
        ChannelsAwayError,
        NotAcceptedError,
    ),
    openapi_extra=_REQUEST,
)
async def accept_webhook() -> WebhookAccepted:
    """Accept a webhook, signed as the channel's provider signs; 200 means that it is durably stored."""
    raise RuntimeError("the hot path in front of the app answers webhooks")
