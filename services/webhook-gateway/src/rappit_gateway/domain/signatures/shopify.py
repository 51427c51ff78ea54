"""Shopify. Its headers are not signed: hence the binding to the channel's own shop, and the permanent key."""

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.signatures.body_hmac import require_body_signature
from rappit_gateway.domain.signatures.scheme import (
    Delivery,
    Headers,
    WrongSourceError,
    body_key,
    key_part,
    require_header,
    text,
)

SIGNATURE = b"x-shopify-hmac-sha256"


class Shopify:
    """See :class:`~rappit_gateway.domain.signatures.scheme.Scheme`."""

    def require_signed(self, channel: KnownChannel, headers: Headers) -> None:  # noqa: ARG002 - the interface's
        """See the interface."""
        require_header(headers, SIGNATURE)

    def verify(self, channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
        """See the interface."""
        require_body_signature(channel, headers, SIGNATURE, body, now_s)
        source = text(headers.get(b"x-shopify-shop-domain", b"")).lower()
        if source != channel.source:
            raise WrongSourceError("This webhook comes from another shop than the one this channel is bound to.")
        webhook_id = headers.get(b"x-shopify-webhook-id", b"")
        # Shopify always sends the id; without it equal bytes are the only sign that two deliveries are one.
        key = key_part(webhook_id) if webhook_id else body_key(body)
        return Delivery(text(headers.get(b"x-shopify-topic", b"")), text(webhook_id), f"shopify:{key}", source)
