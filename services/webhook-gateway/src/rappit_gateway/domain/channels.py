"""What a channel is: who may send for it, and what its signatures are made with."""

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID

from rappit_common.errors import InvalidError

from rappit_gateway.domain.hmac_options import HmacOptions

MIN_SECRET_CHARACTERS = 16
MAX_SECRET_CHARACTERS = 255
MIN_DISTINCT_CHARACTERS = 6
STANDARD_PREFIX = "whsec_"
STANDARD_PUBLIC_PREFIX = "whpk_"
STANDARD_KEY_BYTES = (24, 64)  # the Standard Webhooks specification's bounds
PUBLIC_KEY_BYTES = 32
GENERATED_BYTES = 32

_FIELD = 2**255 - 19
_ORDER_8_Y = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
# The points of Ed25519's curve whose order divides 8. Under such a "public key" anybody can sign anything.
_SMALL_ORDER_Y = frozenset({0, 1, _FIELD - 1, _ORDER_8_Y, _FIELD - _ORDER_8_Y})

_SHOP_DOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\.myshopify\.com")


class Provider(StrEnum):
    """Whose wire format a channel speaks."""

    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"
    STANDARD_WEBHOOKS = "standard_webhooks"
    GENERIC_HMAC = "generic_hmac"


class WeakSecretError(InvalidError):
    """The secret could be guessed."""

    code = "weak_secret"


class MalformedSecretError(InvalidError):
    """The secret cannot be one of this provider's."""

    code = "malformed_secret"


class SecretRequiredError(InvalidError):
    """The provider chooses the secret, so we cannot."""

    code = "secret_required"


class InvalidSourceError(InvalidError):
    """The shop's domain or the site's address cannot be right."""

    code = "invalid_source"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key that a channel's signatures may be made with.

    Attributes:
        key: For HMAC, or the 32 bytes of an ed25519 public key.
        expires_at_s: Seconds of the epoch after which it no longer counts; None for never.
        is_public: Whether it is a public key.
    """

    key: bytes
    expires_at_s: float | None = None
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """All that the hot path needs to know of a channel.

    Attributes:
        channel_id: Part of its webhook address.
        organization_id: The tenant it sends for.
        provider: Its wire format.
        source: The only shop domain or site address it may send from; None when it is not bound.
        keys: What its signatures may be made with.
        is_active: False once it was disconnected.
        hmac: How a generic channel signs; None for every other.
        quota_per_minute: Its own limit of verified webhooks; None for the usual one.
    """

    channel_id: UUID
    organization_id: UUID
    provider: Provider
    source: str | None
    keys: tuple[SigningKey, ...]
    is_active: bool = True
    hmac: HmacOptions | None = None
    quota_per_minute: int | None = None

    def verifies_like(self, other: "KnownChannel") -> bool:
        """Tell whether a signature that does not hold under one cannot hold under the other either."""
        return self.keys == other.keys and self.hmac == other.hmac


def generate_secret(provider: Provider) -> str:
    """Return a new secret for a provider that lets us choose.

    Raises:
        SecretRequiredError: Shopify signs with its own.
    """
    if provider is Provider.SHOPIFY:
        raise SecretRequiredError(
            "Shopify signs with a secret of its own: copy the app's client secret, or the signing secret under"
            " Settings > Notifications > Webhooks, into `secret`.",
            field="secret",
        )
    key = secrets.token_bytes(GENERATED_BYTES)
    if provider is Provider.STANDARD_WEBHOOKS:
        return STANDARD_PREFIX + base64.b64encode(key).decode()
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def signing_key(provider: Provider, secret: str, expires_at_s: float | None = None) -> SigningKey:
    """Return the key that ``secret`` stands for.

    Raises:
        MalformedSecretError: Not in the provider's form.
        WeakSecretError: It could be guessed.
    """
    if provider is not Provider.STANDARD_WEBHOOKS:
        return SigningKey(_text_key(secret), expires_at_s)
    if secret.startswith(STANDARD_PUBLIC_PREFIX):
        return SigningKey(_standard_public_key(secret), expires_at_s, is_public=True)
    return SigningKey(_standard_key(secret), expires_at_s)


def _text_key(secret: str) -> bytes:
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip() or " " in secret:
        raise MalformedSecretError(
            "The secret holds blanks or unprintable characters: copy it again, without what surrounds it.",
            field="secret",
        )
    if len(secret) > MAX_SECRET_CHARACTERS:
        raise MalformedSecretError(f"The secret is longer than {MAX_SECRET_CHARACTERS} characters.", field="secret")
    if len(secret) < MIN_SECRET_CHARACTERS or len(set(secret)) < MIN_DISTINCT_CHARACTERS:
        raise WeakSecretError(
            f"The secret is too weak: give at least {MIN_SECRET_CHARACTERS} characters, of which"
            f" {MIN_DISTINCT_CHARACTERS} differ, or leave it out where one can be generated.",
            field="secret",
        )
    return secret.encode()


def _standard_key(secret: str) -> bytes:
    low, high = STANDARD_KEY_BYTES
    advice = (
        f"{STANDARD_PREFIX} followed by {low} to {high} random bytes in base64, or {STANDARD_PUBLIC_PREFIX} followed by"
        " an ed25519 public key in base64"
    )
    if not secret.startswith(STANDARD_PREFIX):
        raise MalformedSecretError(f"A Standard Webhooks secret is {advice}.", field="secret")
    key = _decoded(secret.removeprefix(STANDARD_PREFIX), advice)
    if not low <= len(key) <= high:
        kind = WeakSecretError if len(key) < low else MalformedSecretError
        raise kind(f"The secret has {len(key)} bytes: a Standard Webhooks secret is {advice}.", field="secret")
    if len(set(key)) < MIN_DISTINCT_CHARACTERS:
        raise WeakSecretError("The secret's bytes are hardly random: let it be generated.", field="secret")
    return key


def _standard_public_key(secret: str) -> bytes:
    advice = f"{STANDARD_PUBLIC_PREFIX} followed by {PUBLIC_KEY_BYTES} bytes in base64"
    key = _decoded(secret.removeprefix(STANDARD_PUBLIC_PREFIX), advice)
    if len(key) != PUBLIC_KEY_BYTES:
        raise MalformedSecretError(f"The key has {len(key)} bytes: a public key is {advice}.", field="secret")
    # The highest bit is the sign of x, and an encoding may name a y beyond the field.
    if (int.from_bytes(key, "little") & (2**255 - 1)) % _FIELD in _SMALL_ORDER_Y:
        raise WeakSecretError("Anybody could sign for this public key: copy the sender's own.", field="secret")
    return key


def _decoded(encoded: str, advice: str) -> bytes:
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedSecretError(
            f"The secret is not in base64: a Standard Webhooks secret is {advice}.", field="secret"
        ) from None


def shop_domain(given: str | None) -> str:
    """Return the shop's permanent domain in the form Shopify sends it.

    Raises:
        InvalidSourceError: Absent, or not a ``….myshopify.com`` domain.
    """
    domain = (given or "").strip().lower().removeprefix("https://").rstrip("/")
    if not _SHOP_DOMAIN.fullmatch(domain):
        raise InvalidSourceError(
            "Give the shop's permanent domain, for example `my-shop.myshopify.com`: its webhooks are bound to it.",
            field="shop_domain",
        )
    return domain


def site_address(given: str | None) -> str | None:
    """Return a WooCommerce site's address in the form in which two spellings of it are equal; None when not given.

    Raises:
        InvalidSourceError: Not an ``http`` or ``https`` address.
    """
    if not given:
        return None
    try:
        parts = urlsplit(given.strip())
    except ValueError:
        parts = None
    if parts is None or parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise InvalidSourceError("Give the site's address, for example `https://shop.example.com/`.", field="source")
    return comparable_site(given)


def comparable_site(address: str) -> str:
    """Return a site's address without what differs between two spellings of it."""
    return address.strip().lower().rstrip("/")
