"""How a generic channel signs: every platform that sends an HMAC of the body in a header, told apart by options."""

import re
from dataclasses import dataclass
from enum import StrEnum

from rappit_common.errors import InvalidError

DEFAULT_SIGNATURE_HEADER = "X-Signature"
MAX_HEADER_NAME_CHARACTERS = 100
MAX_PREFIX_CHARACTERS = 32

# HTTP allows more (RFC 9110, 5.6.2), but nginx, and so many an ingress, drops headers of any other name in silence.
_NAME = re.compile(r"[0-9A-Za-z-]+")

_RESERVED = {
    "HTTP itself uses it": (
        "accept accept-encoding accept-language connection content-encoding content-length content-type date expect"
        " host keep-alive te trailer transfer-encoding upgrade user-agent"
    ),
    "it carries credentials": "authorization cookie proxy-authorization set-cookie",
    "the proxies on the way write it": (
        "forwarded via x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-request-id"
    ),
    "it carries the trace": "baggage traceparent tracestate",
}
_REASONS = {name: reason for reason, names in _RESERVED.items() for name in names.split()}


class HmacAlgorithm(StrEnum):
    """The hash under the HMAC."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"
    SHA1 = "sha1"


class SignatureEncoding(StrEnum):
    """How the signature's bytes are written."""

    HEX = "hex"
    BASE64 = "base64"
    BASE64URL = "base64url"


class InvalidHmacOptionsError(InvalidError):
    """No platform can sign like this, or a header cannot be used for it."""

    code = "invalid_hmac_options"


@dataclass(frozen=True, slots=True)
class HmacOptions:
    """How one generic channel signs.

    Attributes:
        signature_header: Where the signature stands.
        algorithm: The hash under the HMAC.
        encoding: How the signature's bytes are written.
        prefix: What stands before them, for example ``sha256=``.
        id_header: Where the delivery's id stands, if the channel sends one.
        topic_header: Where the topic stands, if the channel sends one.
        timestamp_header: Where the seconds of the epoch stand; then ``{timestamp}.{body}`` is what is signed.

    Raises:
        InvalidHmacOptionsError: They cannot be meant; the message says why.
    """

    signature_header: str = DEFAULT_SIGNATURE_HEADER
    algorithm: HmacAlgorithm = HmacAlgorithm.SHA256
    encoding: SignatureEncoding = SignatureEncoding.HEX
    prefix: str = ""
    id_header: str | None = None
    topic_header: str | None = None
    timestamp_header: str | None = None

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for field in ("signature_header", "id_header", "topic_header", "timestamp_header"):
            name: str | None = getattr(self, field)
            if name is None:
                continue
            _require_header(field, name)
            other = seen.setdefault(name.lower(), field)
            if other != field:
                raise InvalidHmacOptionsError(
                    f"{field} and {other} are both {name}: each stands in a header of its own.", field=field
                )
        if len(self.prefix) > MAX_PREFIX_CHARACTERS or not self.prefix.isascii() or not self.prefix.isprintable():
            raise InvalidHmacOptionsError(
                f"The prefix is what stands before the signature, at most {MAX_PREFIX_CHARACTERS} printable characters"
                " of ASCII, for example `sha256=`.",
                field="prefix",
            )
        if self.prefix != self.prefix.lstrip():
            # HTTP itself strips a header's value.
            raise InvalidHmacOptionsError("The prefix cannot begin with a blank.", field="prefix")


def _require_header(field: str, name: str) -> None:
    if len(name) > MAX_HEADER_NAME_CHARACTERS or _NAME.fullmatch(name) is None:
        raise InvalidHmacOptionsError(
            f"{field} is not the name of a header: letters, digits and hyphens, at most {MAX_HEADER_NAME_CHARACTERS},"
            f" for example {DEFAULT_SIGNATURE_HEADER}.",
            field=field,
        )
    reason = _REASONS.get(name.lower())
    if reason is not None:
        raise InvalidHmacOptionsError(f"{field} cannot be {name}: {reason}. Choose another header.", field=field)
