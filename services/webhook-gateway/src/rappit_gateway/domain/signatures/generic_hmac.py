"""Generic HMAC: what a platform without a scheme of its own here signs with, as its channel's options say."""

import base64
import hmac
from collections.abc import Callable

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.hmac_options import HmacOptions, SignatureEncoding
from rappit_gateway.domain.signatures.scheme import (
    Delivery,
    Headers,
    body_does_not_fit,
    body_key,
    key_part,
    live_keys,
    require_header,
    require_recent,
    text,
)

_ENCODERS: dict[SignatureEncoding, Callable[[bytes], bytes]] = {
    SignatureEncoding.HEX: lambda digest: digest.hex().encode(),
    SignatureEncoding.BASE64: lambda digest: base64.b64encode(digest).rstrip(b"="),
    SignatureEncoding.BASE64URL: lambda digest: base64.urlsafe_b64encode(digest).rstrip(b"="),
}


class GenericHmac:
    """See :class:`~rappit_gateway.domain.signatures.scheme.Scheme`."""

    def require_signed(self, channel: KnownChannel, headers: Headers) -> None:
        """See the interface."""
        options = _options_of(channel)
        require_header(headers, _name(options.signature_header))
        if options.timestamp_header is not None:
            require_header(headers, _name(options.timestamp_header))

    def verify(self, channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
        """See the interface."""
        options = _options_of(channel)
        given = require_header(headers, _name(options.signature_header))
        signed = body
        timestamp: bytes | None = None
        if options.timestamp_header is not None:
            timestamp = require_header(headers, _name(options.timestamp_header))
            signed = b"%b.%b" % (timestamp, body)
        if not _holds(channel, options, signed, given, now_s):
            raise body_does_not_fit()
        if options.timestamp_header is not None and timestamp is not None:
            require_recent(options.timestamp_header, timestamp, now_s)
        delivery_id = _value(headers, options.id_header)
        key = f"id:{key_part(delivery_id)}" if delivery_id else body_key(body)
        return Delivery(text(_value(headers, options.topic_header)), text(delivery_id), f"generic:{key}", "")


def _options_of(channel: KnownChannel) -> HmacOptions:
    return channel.hmac or HmacOptions()


def _name(header: str) -> bytes:
    return header.lower().encode()


def _value(headers: Headers, name: str | None) -> bytes:
    return b"" if name is None else headers.get(_name(name), b"")


def _holds(channel: KnownChannel, options: HmacOptions, signed: bytes, given: bytes, now_s: float) -> bool:
    prefix = options.prefix.encode()
    if not given.startswith(prefix):
        return False
    # Case, or padding, is the platform's own way of writing the same bytes; the rest is compared in constant time.
    signature = given.removeprefix(prefix)
    signature = signature.lower() if options.encoding is SignatureEncoding.HEX else signature.rstrip(b"=")
    encode = _ENCODERS[options.encoding]
    return any(
        hmac.compare_digest(encode(hmac.digest(key.key, signed, options.algorithm.value)), signature)
        for key in live_keys(channel, now_s)
    )
