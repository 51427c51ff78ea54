"""Is this webhook the channel's own? One scheme a provider, over the raw bytes, in constant time.

A scheme is one module with a class of :class:`~rappit_gateway.domain.signatures.scheme.Scheme`, a line in ``SCHEMES``,
and a case for the tests' shared specification (``tests/scheme_cases.py``). Nothing in a header is believed before
the signature holds, and even then most providers' headers are not signed.
"""

from rappit_gateway.domain.channels import KnownChannel, Provider
from rappit_gateway.domain.signatures.generic_hmac import GenericHmac
from rappit_gateway.domain.signatures.scheme import (
    TOLERANCE_S,
    BadSignatureError,
    Delivery,
    ExpiredTimestampError,
    Headers,
    MissingSignatureError,
    Scheme,
    WrongSourceError,
    text,
)
from rappit_gateway.domain.signatures.shopify import Shopify
from rappit_gateway.domain.signatures.standard import StandardWebhooks
from rappit_gateway.domain.signatures.woocommerce import WooCommerce, is_ping, may_be_ping

__all__ = [
    "SCHEMES",
    "TOLERANCE_S",
    "BadSignatureError",
    "Delivery",
    "ExpiredTimestampError",
    "Headers",
    "MissingSignatureError",
    "Scheme",
    "WrongSourceError",
    "is_activation_ping",
    "may_be_activation_ping",
    "require_signed",
    "text",
    "verify",
]

SCHEMES: dict[Provider, Scheme] = {
    Provider.SHOPIFY: Shopify(),
    Provider.WOOCOMMERCE: WooCommerce(),
    Provider.STANDARD_WEBHOOKS: StandardWebhooks(),
    Provider.GENERIC_HMAC: GenericHmac(),
}


def require_signed(channel: KnownChannel, headers: Headers) -> None:
    """Refuse what does not even claim to be signed, before its body is read.

    Raises:
        MissingSignatureError: A header that the channel's scheme needs is not there.
    """
    SCHEMES[channel.provider].require_signed(channel, headers)


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
    return SCHEMES[channel.provider].verify(channel, headers, body, now_s)


def may_be_activation_ping(channel: KnownChannel, headers: Headers) -> bool:
    """Tell from its headers whether this may be what WooCommerce sends, unsigned, when a webhook is saved."""
    return channel.provider is Provider.WOOCOMMERCE and may_be_ping(headers)


def is_activation_ping(channel: KnownChannel, headers: Headers, body: bytes) -> bool:
    """Tell whether this is what WooCommerce sends, unsigned, when a webhook is saved; it must be answered with 200."""
    return may_be_activation_ping(channel, headers) and is_ping(body)
