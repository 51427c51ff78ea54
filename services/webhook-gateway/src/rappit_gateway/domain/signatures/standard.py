"""Standard Webhooks: ``{id}.{timestamp}.{body}``, signed with a shared secret (``v1``) or an ed25519 key (``v1a``).

The header may name several signatures, and the channel may have several keys of both kinds: one of each must fit.
"""

import base64
import binascii
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.signatures.scheme import (
    BadSignatureError,
    Delivery,
    Headers,
    MissingSignatureError,
    key_part,
    live_keys,
    require_recent,
    text,
)

MAX_SIGNATURES = 16
# Each costs as much as hashing 100 KB, for every public key of the channel.
MAX_ASYMMETRIC_SIGNATURES = 4
ED25519_SIGNATURE_BYTES = 64


class StandardWebhooks:
    """See :class:`~rappit_gateway.domain.signatures.scheme.Scheme`."""

    def require_signed(self, channel: KnownChannel, headers: Headers) -> None:  # noqa: ARG002 - the interface's
        """See the interface."""
        _signature_headers(headers)

    def verify(self, channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
        """See the interface."""
        webhook_id, timestamp, signatures = _signature_headers(headers)
        if not _holds(channel, b"%b.%b.%b" % (webhook_id, timestamp, body), signatures, now_s):
            raise BadSignatureError(
                "No v1 or v1a signature fits this id, timestamp and body under any secret or public key of this"
                " channel: was the secret changed, or the body altered on its way?"
            )
        require_recent("webhook-timestamp", timestamp, now_s)
        return Delivery("", text(webhook_id), f"standard:{key_part(webhook_id)}", "")


def _signature_headers(headers: Headers) -> tuple[bytes, bytes, bytes]:
    webhook_id = headers.get(b"webhook-id", b"")
    timestamp = headers.get(b"webhook-timestamp", b"")
    signatures = headers.get(b"webhook-signature", b"")
    if not (webhook_id and timestamp and signatures):
        raise MissingSignatureError(
            "The headers webhook-id, webhook-timestamp and webhook-signature are all needed: only signed webhooks are"
            " accepted."
        )
    return webhook_id, timestamp, signatures


def _holds(channel: KnownChannel, signed: bytes, signatures: bytes, now_s: float) -> bool:
    symmetric: list[bytes] = []
    asymmetric: list[bytes] = []
    for token in signatures.split()[:MAX_SIGNATURES]:
        version, _, signature = token.partition(b",")
        if version == b"v1":
            symmetric.append(signature)
        elif version == b"v1a" and len(asymmetric) < MAX_ASYMMETRIC_SIGNATURES:
            asymmetric.append(signature)
    for key in live_keys(channel, now_s):
        if key.is_public:
            if any(_ed25519_holds(key.key, signed, signature) for signature in asymmetric):
                return True
        else:
            expected = base64.b64encode(hmac.digest(key.key, signed, "sha256"))
            if any(hmac.compare_digest(expected, signature) for signature in symmetric):
                return True
    return False


def _ed25519_holds(public_key: bytes, signed: bytes, encoded: bytes) -> bool:
    try:
        signature = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return False
    if len(signature) != ED25519_SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True
