"""One case a scheme: how its channels sign. A new scheme adds one here, and the shared specification runs on it."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rappit_common.clock import new_id
from rappit_gateway.domain.channels import KnownChannel, Provider, signing_key
from rappit_gateway.domain.hmac_options import HmacAlgorithm, HmacOptions, SignatureEncoding

NOW_S = 1_614_265_330.0
SHOP = "my-shop.myshopify.com"
SECRET, OTHER = "a-secret-of-a-shop-1", "another-secret-0123456789"
STANDARD, OTHER_STANDARD = ("whsec_" + base64.b64encode(bytes(range(n, n + 32))).decode() for n in (0, 100))
# A key pair stands for its secret in these cases: the private part signs, the public part is what the channel is given.
PRIVATE, OTHER_PRIVATE = (f"private-{n:02x}" for n in (1, 2))
TIMED = HmacOptions(
    signature_header="X-Acme-Signature",
    algorithm=HmacAlgorithm.SHA512,
    encoding=SignatureEncoding.BASE64URL,
    prefix="v1=",
    id_header="X-Acme-Id",
    topic_header="X-Acme-Topic",
    timestamp_header="X-Acme-Time",
)


@dataclass(frozen=True)
class SchemeCase:
    """How a channel of one scheme signs.

    Attributes:
        sign: Headers of a body, signed with a secret at a second.
        signature: The header that the signature stands in.
        timestamp: The header that a signed time stands in.
    """

    name: str
    provider: Provider
    sign: Callable[[str, bytes, float], dict[bytes, bytes]]
    signature: bytes
    timestamp: bytes | None = None
    secret: str = SECRET
    other: str = OTHER
    hmac: HmacOptions | None = None

    def channel(self, *secrets: str | tuple[str, float]) -> KnownChannel:
        given = ((one, None) if isinstance(one, str) else one for one in secrets or (self.secret,))
        keys = tuple(signing_key(self.provider, known_part(secret), until_s) for secret, until_s in given)
        source = SHOP if self.provider is Provider.SHOPIFY else None
        return KnownChannel(new_id(), new_id(), self.provider, source, keys, hmac=self.hmac)


def private_key(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())


def known_part(secret: str) -> str:
    if not secret.startswith("private-"):
        return secret
    return "whpk_" + base64.b64encode(private_key(secret).public_key().public_bytes_raw()).decode()


def digest(secret: str, signed: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(secret.encode(), signed, algorithm)


def shopify(secret: str, body: bytes, _at_s: float) -> dict[bytes, bytes]:
    return {
        b"x-shopify-hmac-sha256": base64.b64encode(digest(secret, body)),
        b"x-shopify-shop-domain": SHOP.encode(),
        b"x-shopify-webhook-id": b"delivery-1",
    }


def woocommerce(secret: str, body: bytes, _at_s: float) -> dict[bytes, bytes]:
    return {
        b"x-wc-webhook-signature": base64.b64encode(digest(secret, body)),
        b"x-wc-webhook-delivery-id": b"delivery-1",
        b"x-wc-webhook-topic": b"order.created",
    }


def standard(secret: str, body: bytes, at_s: float) -> dict[bytes, bytes]:
    signed = b"delivery-1.%d.%b" % (at_s, body)
    if secret.startswith("private-"):
        token = b"v1a," + base64.b64encode(private_key(secret).sign(signed))
    else:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        token = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
    return {b"webhook-id": b"delivery-1", b"webhook-timestamp": b"%d" % at_s, b"webhook-signature": token}


def generic(secret: str, body: bytes, _at_s: float) -> dict[bytes, bytes]:
    return {b"x-signature": digest(secret, body).hex().encode()}


def generic_timed(secret: str, body: bytes, at_s: float) -> dict[bytes, bytes]:
    signature = base64.urlsafe_b64encode(digest(secret, b"%d.%b" % (at_s, body), "sha512"))
    return {
        b"x-acme-signature": b"v1=" + signature,
        b"x-acme-time": b"%d" % at_s,
        b"x-acme-id": b"delivery-1",
        b"x-acme-topic": b"order.created",
    }


WEBHOOK_TIME = b"webhook-timestamp"
CASES = [
    SchemeCase("shopify", Provider.SHOPIFY, shopify, b"x-shopify-hmac-sha256"),
    SchemeCase("woocommerce", Provider.WOOCOMMERCE, woocommerce, b"x-wc-webhook-signature"),
    SchemeCase(
        "standard-v1",
        Provider.STANDARD_WEBHOOKS,
        standard,
        b"webhook-signature",
        WEBHOOK_TIME,
        STANDARD,
        OTHER_STANDARD,
    ),
    SchemeCase(
        "standard-v1a", Provider.STANDARD_WEBHOOKS, standard, b"webhook-signature", WEBHOOK_TIME, PRIVATE, OTHER_PRIVATE
    ),
    SchemeCase("generic", Provider.GENERIC_HMAC, generic, b"x-signature"),
    SchemeCase("generic-timed", Provider.GENERIC_HMAC, generic_timed, b"x-acme-signature", b"x-acme-time", hmac=TIMED),
]
