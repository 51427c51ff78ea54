"""What every signature scheme shares: the interface, the refusals, and what a verified webhook says of itself."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from rappit_common.errors import ForbiddenError, UnauthenticatedError

from rappit_gateway.domain.channels import KnownChannel, SigningKey

TOLERANCE_S = 300
MAX_TIMESTAMP_DIGITS = 12
MAX_VALUE_CHARACTERS = 255

Headers = Mapping[bytes, bytes]
"""A request's headers by lower-case name."""


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


class Scheme(Protocol):
    """How one provider signs. Everything a header or a body may hold is refused or read; nothing else is raised."""

    def require_signed(self, channel: KnownChannel, headers: Headers) -> None:
        """Refuse what not even claims to be signed, before its body is read.

        Raises:
            MissingSignatureError: A header that the scheme needs is not there.
        """
        ...

    def verify(self, channel: KnownChannel, headers: Headers, body: bytes, now_s: float) -> Delivery:
        """Return what the webhook says of itself, once it is certain that the channel sent it.

        Raises:
            MissingSignatureError: It is not signed at all.
            BadSignatureError: No unexpired secret of the channel fits.
            ExpiredTimestampError: The scheme signs a time, and it is more than 5 minutes away.
            WrongSourceError: The signature holds, but it is another shop's.
        """
        ...


def text(value: bytes) -> str:
    """Return a header's value as text that is safe to store: bounded, and one character a byte."""
    return value[:MAX_VALUE_CHARACTERS].decode("latin-1")


def key_part(value: bytes) -> str:
    """Return a value as part of a permanent key: cut short, two ids could become one, so a long one is hashed."""
    if len(value) <= MAX_VALUE_CHARACTERS:
        return value.decode("latin-1")
    return "sha256-" + hashlib.sha256(value).hexdigest()


def body_key(body: bytes) -> str:
    """Return the part of a permanent key that stands for a body: equal bytes are one fact."""
    return "body-" + hashlib.sha256(body).hexdigest()


def live_keys(channel: KnownChannel, now_s: float) -> Iterator[SigningKey]:
    """Yield the channel's keys that have not expired."""
    for key in channel.keys:
        if key.expires_at_s is None or key.expires_at_s > now_s:
            yield key


def require_header(headers: Headers, name: bytes) -> bytes:
    """Return a header without which nothing is signed.

    Raises:
        MissingSignatureError: It is absent or empty.
    """
    value = headers.get(name)
    if not value:
        raise MissingSignatureError(f"The header {name.decode()} is missing: only signed webhooks are accepted.")
    return value


def body_does_not_fit() -> BadSignatureError:
    """Return the refusal of a signature over a body."""
    return BadSignatureError(
        "The signature does not fit the body under any secret of this channel: was the secret changed, or the body"
        " altered on its way?"
    )


def require_recent(name: str, timestamp: bytes, now_s: float) -> None:
    """Let a signed time pass.

    Raises:
        ExpiredTimestampError: It is no time, or more than 5 minutes away.
    """
    if not timestamp.isdigit() or len(timestamp) > MAX_TIMESTAMP_DIGITS:
        raise ExpiredTimestampError(f"The header {name} is not in whole seconds of the epoch.")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise ExpiredTimestampError(
            f"The webhook was signed more than {TOLERANCE_S} s from now: sign each attempt anew, and check the clock."
        )
