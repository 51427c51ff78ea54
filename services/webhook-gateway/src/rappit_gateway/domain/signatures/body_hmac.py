"""base64(HMAC-SHA256(body)) in one header: what Shopify and WooCommerce share."""

import base64
import hmac

from rappit_gateway.domain.channels import KnownChannel
from rappit_gateway.domain.signatures.scheme import Headers, body_does_not_fit, live_keys, require_header


def require_body_signature(channel: KnownChannel, headers: Headers, header: bytes, body: bytes, now_s: float) -> None:
    """Let a webhook pass whose header signs its body.

    Raises:
        MissingSignatureError: There is no such header.
        BadSignatureError: No unexpired secret of the channel fits.
    """
    signature = require_header(headers, header)
    for secret in live_keys(channel, now_s):
        expected = base64.b64encode(hmac.digest(secret.key, body, "sha256"))
        if hmac.compare_digest(expected, signature):
            return
    raise body_does_not_fit()
