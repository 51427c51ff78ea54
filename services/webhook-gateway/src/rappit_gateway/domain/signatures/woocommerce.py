"""WooCommerce. Its headers are not signed, and its delivery ids repeat."""

import hashlib
import re

from rappit_gateway.domain.channels import KnownChannel, comparable_site
from rappit_gateway.domain.signatures.body_hmac import require_body_signature
from rappit_gateway.domain.signatures.scheme import Delivery, Headers, WrongSourceError, require_header, text

SIGNATURE = b"x-wc-webhook-signature"
MAX_PING_BYTES = 31  # "webhook_id=" and as many digits as a 64-bit number has

# Where every WooCommerce resource begins; read so that the key of a delivery names its order without parsing it.
_LEADING_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*(\d{1,20})\s*[,}]')
_PING = re.compile(rb"webhook_id=\d{1,20}")
_FORM = b"application/x-www-form-urlencoded"


class WooCommerce:
    """See :class:`~rappit_gateway.domain.signatures.scheme.Scheme`."""

    def require_signed(self, channel: KnownChannel, headers: Headers) -> None:  # noqa: ARG002 - the interface's
        """See the interface."""
        require_header(headers, SIGNATURE)

    def verify(self, channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
        """See the interface."""
        require_body_signature(channel, headers, SIGNATURE, body, now_s)
        source = text(headers.get(b"x-wc-webhook-source", b""))
        if channel.source is not None and comparable_site(source) != channel.source:
            raise WrongSourceError("This webhook comes from another site than the one this channel is bound to.")
        topic = text(headers.get(b"x-wc-webhook-topic", b""))
        found = _LEADING_ID.match(body)
        resource = found[1].decode() if found else ""
        # Its delivery id is a hash of the webhook and the second: two orders of one second share it.
        key = f"woo:{topic}:{resource}:{hashlib.sha256(body).hexdigest()}"
        return Delivery(topic, text(headers.get(b"x-wc-webhook-delivery-id", b"")), key, source)


def may_be_ping(headers: Headers) -> bool:
    """Tell, before its body is read, whether this may be what is sent, unsigned, when a webhook is saved.

    WooCommerce speaks HTTP/1.0, so it announces the length.
    """
    announced = headers.get(b"content-length", b"")
    return (
        SIGNATURE not in headers
        and headers.get(b"content-type", b"").startswith(_FORM)
        and announced.isdigit()
        and len(announced) <= len(str(MAX_PING_BYTES))
        and int(announced) <= MAX_PING_BYTES
    )


def is_ping(body: bytes) -> bool:
    """Tell whether a body that may be a ping is one."""
    return _PING.fullmatch(body) is not None
