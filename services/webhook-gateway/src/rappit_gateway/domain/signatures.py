"""Is this webhook the channel's own? One scheme a provider, over the raw bytes, in constant time.

Protocol facts: Shopify and WooCommerce send base64(HMAC-SHA256(body)); Standard Webhooks ``v1`` signs
``{id}.{timestamp}.{body}``. Nothing in a header is believed before the signature holds, and even then Shopify's and
WooCommerce's headers are not signed: hence the binding to the channel's own shop and the permanent keys.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rappit_common.errors import ForbiddenError, UnauthenticatedError

from rappit_gateway.domain.channels import KnownChannel, Provider, comparable_site

TOLERANCE_S = 300
MAX_SIGNATURES = 16
MAX_TIMESTAMP_DIGITS = 12
MAX_VALUE_CHARACTERS = 255

Headers = Mapping[bytes, bytes]
"""A request's headers by lower-case name."""

# Where every WooCommerce resource begins; read so that the key of a delivery names its order without parsing it.
_LEADING_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*(\d{1,20})\s*[,}]')
_PING = re.compile(rb"webhook_id=\d{1,20}")
_FORM = b"application/x-www-form-urlencoded"


class MissingSignatureError(UnauthenticatedError):
    """The provider's signature headers are not there."""

    code = "missing_signature"


class BadSignatureError(UnauthenticatedError):
    """No secret of the channel gives this signature for this body."""

    code = "bad_signature"


class ExpiredTimestampError(UnauthenticatedError):
    """Signed too long ago, or in the future: it may be a replay."""

    code = "expired_timestamp"


class WrongSourceError(ForbiddenError):
    """Signed by another shop than the channel's."""

    code = "wrong_source"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a verified webhook says of itself.

    Attributes:
        topic: In the provider's words; empty when its headers do not name one.
        delivery_id: The provider's id of this delivery; may be empty, and WooCommerce's may repeat.
        dedupe_key: Equal for two deliveries of the same fact by this channel, for ever.
        source: Shop domain or site address; may be empty.
    """

    topic: str
    delivery_id: str
    dedupe_key: str
    source: str


def verify(channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
    """Return what the webhook says of itself, once it is certain that the channel sent it.

    Args:
        channel: Whose address it came to.
        headers: Of the request.
        body: Raw, as received.
        now_s: Seconds of the epoch.

    Raises:
        MissingSignatureError: It is not signed at all.
        BadSignatureError: No unexpired secret of the channel fits.
        ExpiredTimestampError: The scheme signs a time, and it is more than 5 minutes away.
        WrongSourceError: The signature holds, but it is another shop's.
    """
    return _SCHEMES[channel.provider](channel, headers, body, now_s)


def is_activation_ping(channel: KnownChannel, headers: Headers, body: bytes) -> bool:
    """Tell whether this is what WooCommerce sends, unsigned, when a webhook is saved; it must be answered with 200."""
    return (
        channel.provider is Provider.WOOCOMMERCE
        and b"x-wc-webhook-signature" not in headers
        and headers.get(b"content-type", b"").startswith(_FORM)
        and _PING.fullmatch(body) is not None
    )


def text(value: bytes) -> str:
    """Return a header's value as text that is safe to store: bounded, and one character a byte."""
    return value[:MAX_VALUE_CHARACTERS].decode("latin-1")


def _key_part(value: bytes) -> str:
    # Cut short, two ids could become one: a long one is told apart by its hash.
    if len(value) <= MAX_VALUE_CHARACTERS:
        return value.decode("latin-1")
    return "sha256-" + hashlib.sha256(value).hexdigest()


def _hmac_holds(channel: KnownChannel, signed: bytes, candidates: list[bytes], now_s: float) -> bool:
    for secret in channel.keys:
        if secret.expires_at_s is not None and secret.expires_at_s <= now_s:
            continue
        expected = base64.b64encode(hmac.digest(secret.key, signed, "sha256"))
        for candidate in candidates:
            if hmac.compare_digest(expected, candidate):
                return True
    return False


def _require_body_signature(channel: KnownChannel, headers: Headers, header: bytes, body: bytes, now_s: float) -> None:
    signature = headers.get(header)
    if not signature:
        raise MissingSignatureError(f"The header {header.decode()} is missing: only signed webhooks are accepted.")
    if not _hmac_holds(channel, body, [signature], now_s):
        raise BadSignatureError(
            "The signature does not fit the body under any secret of this channel: was the secret changed, or the body"
            " altered on its way?"
        )


def _verify_shopify(channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
    _require_body_signature(channel, headers, b"x-shopify-hmac-sha256", body, now_s)
    source = text(headers.get(b"x-shopify-shop-domain", b"")).lower()
    if source != channel.source:
        raise WrongSourceError("This webhook comes from another shop than the one this channel is bound to.")
    webhook_id = headers.get(b"x-shopify-webhook-id", b"")
    # Shopify always sends the id; without it equal bytes are the only sign that two deliveries are one.
    key = _key_part(webhook_id) if webhook_id else "body-" + hashlib.sha256(body).hexdigest()
    return Delivery(text(headers.get(b"x-shopify-topic", b"")), text(webhook_id), f"shopify:{key}", source)


def _verify_woocommerce(channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
    _require_body_signature(channel, headers, b"x-wc-webhook-signature", body, now_s)
    source = text(headers.get(b"x-wc-webhook-source", b""))
    if channel.source is not None and comparable_site(source) != channel.source:
        raise WrongSourceError("This webhook comes from another site than the one this channel is bound to.")
    topic = text(headers.get(b"x-wc-webhook-topic", b""))
    found = _LEADING_ID.match(body)
    resource = found[1].decode() if found else ""
    # Its delivery id is a hash of the webhook and the second: two orders of one second share it.
    key = f"woo:{topic}:{resource}:{hashlib.sha256(body).hexdigest()}"
    return Delivery(topic, text(headers.get(b"x-wc-webhook-delivery-id", b"")), key, source)


def _verify_standard(channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
    webhook_id = headers.get(b"webhook-id", b"")
    timestamp = headers.get(b"webhook-timestamp", b"")
    signatures = headers.get(b"webhook-signature", b"")
    if not (webhook_id and timestamp and signatures):
        raise MissingSignatureError(
            "The headers webhook-id, webhook-timestamp and webhook-signature are all needed: only signed webhooks are"
            " accepted."
        )
    versions = (token.partition(b",") for token in signatures.split()[:MAX_SIGNATURES])
    candidates = [signature for version, _, signature in versions if version == b"v1"]
    if not _hmac_holds(channel, b"%b.%b.%b" % (webhook_id, timestamp, body), candidates, now_s):
        raise BadSignatureError(
            "No v1 signature fits this id, timestamp and body under any secret of this channel: was the secret"
            " changed, or the body altered on its way?"
        )
    if not timestamp.isdigit() or len(timestamp) > MAX_TIMESTAMP_DIGITS:
        raise ExpiredTimestampError("The header webhook-timestamp is not in whole seconds of the epoch.")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise ExpiredTimestampError(
            f"The webhook was signed more than {TOLERANCE_S} s from now: sign each attempt anew, and check the clock."
        )
    return Delivery("", text(webhook_id), f"standard:{_key_part(webhook_id)}", "")


_SCHEMES: dict[Provider, Callable[[KnownChannel, Headers, bytes, float], Delivery]] = {
    Provider.SHOPIFY: _verify_shopify,
    Provider.WOOCOMMERCE: _verify_woocommerce,
    Provider.STANDARD_WEBHOOKS: _verify_standard,
}
