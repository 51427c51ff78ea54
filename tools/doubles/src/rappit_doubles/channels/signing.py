"""Signatures of the channels, over the raw bytes that go over the wire."""

import base64
import hashlib
import hmac
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix every secret has, not a secret


def body_signature(secret: str, body: bytes) -> str:
    """Shopify's and WooCommerce's: base64 of HMAC-SHA256 of the body, keyed with the secret's own bytes."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode("ascii")


def hex_signature(secret: str, body: bytes) -> str:
    """What most other platforms send: HMAC-SHA256 of the body in hexadecimal, keyed with the secret's own bytes."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard_signature(secret: str, *, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Standard Webhooks' `v1`: HMAC-SHA256 of `id.timestamp.body`, keyed with the decoded part after `whsec_`.

    Raises:
        ValueError: The secret is no base64.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode('ascii')}"


def forged(secret: str) -> str:
    """Another secret of the same form, for a signature that looks right and is wrong."""
    if secret.startswith(SECRET_PREFIX):
        digest = hashlib.sha256(f"forged {secret}".encode()).digest()
        return SECRET_PREFIX + base64.b64encode(digest).decode("ascii")
    return f"forged {secret}"
